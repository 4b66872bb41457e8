import AgentProtocol
import Common
import Testing

@testable import Pods

@Suite struct UsageTests {
  private let pod = PodID.random()
  private let container = ContainerID.random()

  private func answer(cpuMicroseconds: UInt64) -> Bulkhead_Agent_V1_StatsResponse {
    .with {
      $0.pod.cpuMicroseconds = cpuMicroseconds
      $0.containers = [
        .with {
          $0.containerID = container.text
          $0.usage.cpuMicroseconds = cpuMicroseconds / 2
        }
      ]
    }
  }

  private func usage(_ response: Bulkhead_Agent_V1_StatsResponse) -> PodUsage {
    PodUsage(response, pod: pod, time: 1, known: [container])
  }

  @Test func ratesFollowFromTwoAnswers() {
    var history = UsageHistory()
    let start = ContinuousClock.now
    #expect(history.add(usage(answer(cpuMicroseconds: 0)), at: start).total.cpuNanoCores == nil)
    let soon = history.add(usage(answer(cpuMicroseconds: 90_000)), at: start + .milliseconds(100))
    #expect(soon.total.cpuNanoCores == nil, "too short a time for a rate")
    let later = history.add(usage(answer(cpuMicroseconds: 1_000_000)), at: start + .seconds(2))
    #expect(later.total.cpuNanoCores == 500_000_000)
    #expect(later.containers[container]?.resources.cpuNanoCores == 250_000_000)
    #expect(history.last?.total.cpuNanoCores == 500_000_000)
    let back = history.add(usage(answer(cpuMicroseconds: 5)), at: start + .seconds(4))
    #expect(back.total.cpuNanoCores == nil, "a counter that goes back")
  }

  @Test func whoHangsIsWaitedForOnce() {
    var history = UsageHistory()
    #expect(history.patience == .seconds(1))
    history.didNotAnswer()
    #expect(history.patience < .seconds(1))
    _ = history.add(usage(answer(cpuMicroseconds: 1)), at: .now, after: .seconds(3))
    #expect(history.last?.total.cpuNanoseconds == 1000, "late, it counts all the same")
    #expect(history.patience < .seconds(1))
    _ = history.add(usage(answer(cpuMicroseconds: 1)), at: .now, after: .milliseconds(3))
    #expect(history.patience == .seconds(1))
  }

  @Test func aGuestCanSayAnything() {
    let hostile = Bulkhead_Agent_V1_StatsResponse.with {
      $0.pod.cpuMicroseconds = .max
      $0.pod.memoryInactiveFileBytes = .max
      $0.pod.cpuPressure.some.average10S = .max
      $0.pod.disks = Array(
        repeating: .with { $0.name = "sda\u{1b}[2J\n" + String(repeating: "x", count: 1 << 20) }, count: 1000)
      $0.interfaces = Array(
        repeating: .with { $0.name = "eth0\u{7}" + String(repeating: "y", count: 1 << 20) }, count: 1000)
      $0.containers = [
        .with { $0.containerID = ContainerID.random().text }, .with { $0.containerID = "../../etc" },
        .with { $0.containerID = container.text }, .with { $0.containerID = container.text },
      ]
    }
    let usage = usage(hostile)
    #expect(usage.total.cpuNanoseconds == .max && usage.total.workingSet == 0)
    #expect(usage.total.cpuPressure.some.average10s == 100)
    #expect(usage.total.disks.count <= 64 && usage.interfaces.count <= 64)
    for name in usage.interfaces.map(\.name) + usage.total.disks.map(\.device) {
      #expect(name.utf8.count < 128 && name.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7f })
    }
    #expect(Array(usage.containers.keys) == [container])
    var history = UsageHistory()
    _ = history.add(usage, at: .now)
    #expect(history.add(self.usage(answer(cpuMicroseconds: 0)), at: .now + .seconds(5)).total.cpuNanoCores == nil)
  }
}

@Suite struct ResourceChangeTests {
  @Test func whatIsNotNamedStays() {
    var resources = ContainerResources()
    resources.cpuShares = 512
    resources.memoryLimitBytes = 100
    resources.memorySwapLimitBytes = 100
    resources.unified = ["memory.high": "1"]
    var changes = ContainerResourceChanges()
    #expect(resources.applying(changes) == resources)
    changes.memoryLimitBytes = 200
    changes.unified = ["pids.max": "7"]
    let changed = resources.applying(changes)
    #expect(changed.cpuShares == 512 && changed.memoryLimitBytes == 200 && changed.memorySwapLimitBytes == 200)
    #expect(changed.unified == ["memory.high": "1", "pids.max": "7"])
    changes.memoryLimitBytes = 0
    #expect(resources.applying(changes).memoryLimitBytes == 0)
  }
}
