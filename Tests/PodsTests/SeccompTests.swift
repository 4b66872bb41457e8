import AgentProtocol
import Common
import Foundation
import OCISpec
import Testing

@testable import Pods

@Suite struct SeccompTests {
  private func translated(
    _ json: String, capabilities: Set<String> = []
  ) throws -> Bulkhead_Agent_V1_Seccomp {
    let profile = try SeccompProfileFile.decode(Data(json.utf8), "/p.json")
    return try SeccompTranslation(profile: profile, capabilities: capabilities).message()
  }

  private func withRule(_ rule: String, capabilities: Set<String> = []) throws -> Int {
    try translated(
      #"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW", \#(rule)}]}"#,
      capabilities: capabilities
    ).syscalls.count
  }

  @Test func conditionsDecideWhetherARuleCounts() throws {
    #expect(try withRule(#""includes": {"caps": ["CAP_SYS_ADMIN"]}"#) == 0)
    #expect(try withRule(#""includes": {"caps": ["CAP_SYS_ADMIN"]}"#, capabilities: ["CAP_SYS_ADMIN"]) == 1)
    #expect(try withRule(#""excludes": {"caps": ["CAP_SYS_ADMIN"]}"#, capabilities: ["CAP_SYS_ADMIN"]) == 0)
    #expect(try withRule(#""includes": {"arches": ["arm64", "amd64"]}"#) == 1)
    #expect(try withRule(#""includes": {"arches": ["arm64"]}"#) == 0)
    #expect(try withRule(#""excludes": {"arches": ["amd64"]}"#) == 0)
    #expect(try withRule(#""includes": {"minKernel": "4.8"}"#) == 1)
    #expect(try withRule(#""includes": {"minKernel": "6.10"}"#) == 0)
    #expect(try withRule(#""includes": {"minKernel": "6.1.99"}"#) == 1)
    #expect(try withRule(#""excludes": {"minKernel": "7"}"#) == 1)
    #expect(throws: BulkheadError.self) { try withRule(#""includes": {"minKernel": "six"}"#) }
    #expect(throws: BulkheadError.self) { try withRule(#""includes": {"minKernel": "99999999.1"}"#) }
  }

  @Test func onlyArchitecturesOfThisProcessorCount() throws {
    let message = try translated(
      #"{"defaultAction": "SCMP_ACT_LOG", "architectures": ["SCMP_ARCH_ARM", "SCMP_ARCH_X86", "SCMP_ARCH_X86_64"]}"#)
    #expect(message.architectures == ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"])
  }

  @Test func whatCannotBeHonouredIsNamed() {
    func message(_ fields: String) -> String? {
      #expect(throws: BulkheadError.self) { try translated(#"{"defaultAction": "SCMP_ACT_ALLOW", \#(fields)}"#) }?
        .message
    }
    #expect(message(#""syscalls": [{"name": "a", "action": "SCMP_ACT_NOTIFY"}]"#)?.contains("NOTIFY") == true)
    #expect(message(#""flags": ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]"#)?.contains("NOTIFY") == true)
    #expect(message(#""syscalls": [{"action": "SCMP_ACT_ERRNO"}]"#)?.contains("names") == true)
    #expect(message(#""architectures": ["SCMP_ARCH_VAX"]"#)?.contains("VAX") == true)
  }

  /// Documents that are cut, doubled and changed at random end as a profile or as an error.
  @Test func noDocumentTraps() {
    let valid = Array(
      #"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":1,"archMap":[{"architecture":"SCMP_ARCH_X86_64"}],"syscalls":[{"names":["a"],"action":"SCMP_ACT_TRACE","errnoRet":7,"args":[{"index":1,"value":18446744073709551615,"valueTwo":2,"op":"SCMP_CMP_EQ"}],"includes":{"caps":["C"],"minKernel":"4.8"}}]}"#
        .utf8)
    var state: UInt64 = 42
    func random(_ below: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int(state >> 33) % below
    }
    for _ in 0..<3000 {
      var bytes = valid
      for _ in 0...random(4) {
        switch random(4) {
        case 0: bytes[random(bytes.count)] = UInt8(random(256))
        case 1: bytes.removeLast(random(bytes.count))
        case 2: bytes.insert(contentsOf: "999999999".utf8, at: random(bytes.count))
        default: bytes.insert(contentsOf: bytes.prefix(random(bytes.count)), at: random(bytes.count))
        }
        if bytes.isEmpty { bytes = valid }
      }
      do {
        let profile = try SeccompProfileFile.decode(Data(bytes), "/p.json")
        _ = try SeccompTranslation(profile: profile, capabilities: []).message()
      } catch { #expect(error.code == .invalidArgument) }
    }
  }

  /// docs/seccomp.md lists what the profile allows.
  @Test func theDocumentSaysWhatTheProfileDoes() throws {
    let path = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../docs/seccomp.md")
    let text = try String(contentsOf: path, encoding: .utf8)
    let lists = text.components(separatedBy: "```")
    #expect(lists[1].split(whereSeparator: \.isWhitespace).map(String.init) == Set(DefaultSeccomp.ordinary).sorted())
    for (capability, names) in DefaultSeccomp.governed {
      #expect(text.contains("| \(capability) | \(names.sorted().joined(separator: ", ")) |"))
    }
  }
}
