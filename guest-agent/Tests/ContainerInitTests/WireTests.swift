import Testing

@testable import ContainerInit

struct WireTests {
  private func job() -> ContainerJob {
    var job = ContainerJob()
    job.root.lower = Array("/lower".utf8)
    var mount = MountPlan()
    mount.kind = .recursiveBind
    mount.data = [[1, 2], []]
    mount.attributes = .max
    job.mounts = [mount, MountPlan()]
    job.user.uid = 7
    job.process.arguments = [[0xff, 0xfe], [1]]
    job.process.oomScoreAdjustment = -998
    return job
  }

  @Test func whatIsWrittenIsRead() throws {
    let bytes = try job().wireBytes()
    let read = try ContainerJob(wire: bytes)
    #expect(read.mounts == job().mounts)
    #expect(read.user.uid == 7)
    #expect(read.user.gid == nil)
    #expect(read.process.arguments == [[0xff, 0xfe], [1]])
    #expect(read.process.oomScoreAdjustment == -998)
    #expect(try read.wireBytes() == bytes)
  }

  @Test func whatIsCutIsRefused() throws {
    let bytes = try job().wireBytes()
    for length in 0..<bytes.count {
      #expect(throws: WireError.self) { try ContainerJob(wire: Array(bytes.prefix(length))) }
    }
  }

  @Test func randomBytesEndInAnErrorOrAJob() {
    var generator = Random(state: 3)
    for _ in 0..<2000 {
      let bytes = (0..<Int.random(in: 0..<200, using: &generator)).map { _ in
        UInt8.random(in: 0...255, using: &generator) & (Bool.random(using: &generator) ? 0xff : 0x03)
      }
      _ = try? ContainerJob(wire: bytes)
      _ = try? HelperMessage(wire: bytes)
    }
  }
}

/// The same numbers in every run (xorshift64).
struct Random: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state ^= state << 13
    state ^= state >> 7
    state ^= state << 17
    return state
  }
}
