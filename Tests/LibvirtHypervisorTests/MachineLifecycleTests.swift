import Hypervisor
import Testing

@testable import LibvirtHypervisor

@Suite struct MachineLifecycleTests {
  private func end(_ events: MachineLifecycle.Event...) -> MachineLifecycle.State {
    var lifecycle = MachineLifecycle()
    for event in events { lifecycle.handle(event) }
    return lifecycle.state
  }

  @Test func libvirtsReasonCountsInWhicheverOrderItComes() {
    #expect(end(.stopReported(.panicked), .processEnded) == .stopped(.guestPanicked))
    #expect(end(.processEnded, .stopReported(.panicked)) == .stopped(.guestPanicked))
    #expect(end(.processEnded, .stopReported(.shutdown)) == .stopped(.guestShutdown))
    #expect(end(.processEnded, .stopReported(.failed)) == .stopped(.processDied))
  }

  @Test func aMachineThatIsEndedForItsVirtiofsdSaysSo() {
    #expect(end(.shareServerEnded, .stopReported(.failed), .processEnded) == .stopped(.shareServerDied))
    #expect(end(.destroyRequested, .shareServerEnded, .processEnded) == .stopped(.destroyed))
    #expect(end(.processEnded, .shareServerEnded, .reasonOverdue) == .stopped(.processDied))
  }

  @Test func aReasonThatNeverComesIsNotWaitedFor() {
    #expect(end(.processEnded, .reasonOverdue) == .stopped(.processDied))
  }

  @Test func destroyingIsTheReasonWhateverElseIsSaid() {
    #expect(end(.destroyRequested, .stopReported(.failed), .processEnded) == .stopped(.destroyed))
    #expect(end(.destroyRequested, .processEnded, .stopReported(.failed)) == .stopped(.destroyed))
  }

  @Test func aMachineThatDiedBeforeIsNotDestroyed() {
    #expect(end(.processEnded, .destroyRequested) == .stopped(.processDied))
    #expect(end(.stopReported(.panicked), .processEnded, .destroyRequested) == .stopped(.guestPanicked))
  }

  @Test func itRunsUntilItsProcessHasGone() {
    #expect(end(.stopReported(.shutdown)) == .running(reason: .guestShutdown))
    #expect(end(.reasonOverdue) == .running(reason: nil))
  }

  @Test func allWhoWaitAreTold() async {
    let signal = MachineExitSignal()
    async let first = signal.wait()
    async let second = signal.wait()
    signal.handle(.stopReported(.panicked))
    signal.handle(.processEnded)
    #expect(await [first, second, signal.wait()] == [.guestPanicked, .guestPanicked, .guestPanicked])
  }
}
