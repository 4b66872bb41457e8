import AgentProtocol
import FoundationEssentials
import Testing

@testable import AgentCore

/// What it writes is what protobuf's own reader finds.
@Suite struct MessageWriterTests {
  @Test(arguments: [0, 1, 127, 128, 300, 1 << 32, UInt64.max]) func numbersOfEachLength(_ number: UInt64) throws {
    var files = MessageWriter()
    files.append(CgroupFiles.processes, number)
    #expect(try Bulkhead_Agent_V1_CgroupFiles(serializedBytes: files.bytes).processes == number)
  }

  @Test(arguments: [0, 1, 127, 128, 20_000]) func bytesAndMessages(_ count: Int) throws {
    var files = MessageWriter()
    files.append(CgroupFiles.Name.cpu.rawValue, [UInt8](repeating: 7, count: count))
    var container = MessageWriter()
    container.append(1, "c1".utf8)
    container.append(2, files.bytes)
    var answer = MessageWriter()
    answer.append(2, container.bytes)
    answer.append(2, container.bytes)
    let read = try Bulkhead_Agent_V1_StatsResponse(serializedBytes: answer.bytes)
    #expect(read.containers.map(\.containerID) == ["c1", "c1"])
    #expect(read.containers.map(\.usage.cpuStat) == [Data](repeating: Data(repeating: 7, count: count), count: 2))
  }
}
