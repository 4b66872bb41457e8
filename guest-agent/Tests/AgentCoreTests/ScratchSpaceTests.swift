import Testing

@testable import AgentCore

struct ScratchSpaceTests {
  private typealias Account = ScratchSpace.Account

  @Test(arguments: [
    // Written and still there; written and deleted; deleted what was there before; written again in place.
    ((0, 0), (100, 100), 0), ((0, 0), (100, 0), 100), ((100, 100), (100, 20), 80), ((100, 100), (150, 100), 50),
    ((100, 100), (150, 20), 130),
  ])
  func whatWasWrittenAndIsNotThereWasFreed(_ before: (Int64, Int64), _ now: (Int64, Int64), _ freed: Int64) {
    let before = Account(written: before.0, used: before.1)
    #expect(Account(written: now.0, used: now.1).freed(since: before) == freed)
  }

  @Test func aDirectoryOnNoDiskHasNone() {
    #expect(throws: (any Error).self) { try ScratchSpace("/proc") }
  }
}
