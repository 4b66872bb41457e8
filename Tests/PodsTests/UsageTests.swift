import AgentProtocol
import Common
import FoundationEssentials
import Testing

@testable import Pods

@Suite struct UsageTests {
  private let pod = PodID.random()
  private let container = ContainerID.random()

  private func answer(cpuMicroseconds: UInt64) -> Bulkhead_Agent_V1_StatsResponse {
    .with {
      $0.pod.cpuStat = Data("usage_usec \(cpuMicroseconds)\n".utf8)
      $0.containers = [
        .with {
          $0.containerID = container.text
          $0.usage.cpuStat = Data("usage_usec \(cpuMicroseconds / 2)\n".utf8)
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

  /// Text as a kernel 6.1 has it.
  @Test func everyFileIsRead() throws {
    let files = Bulkhead_Agent_V1_CgroupFiles.with {
      $0.cpuStat = Data(
        "usage_usec 9000\nuser_usec 6000\nsystem_usec 3000\nnr_periods 5\nnr_throttled 4\nthrottled_usec 7\n".utf8)
      $0.memoryCurrent = Data("4096\n".utf8)
      $0.memoryPeak = Data("8192\n".utf8)
      $0.memoryMax = Data("max\n".utf8)
      $0.memorySwapCurrent = Data("11\n".utf8)
      $0.memoryStat = Data(
        """
        anon 1
        file 2
        kernel 3
        kernel_stack 99
        file_mapped 4
        inactive_anon 99
        inactive_file 5
        active_file 6
        pgfault 7
        pgmajfault 8
        """.utf8)
      $0.memoryEvents = Data("low 99\nhigh 99\nmax 12\noom 99\noom_kill 13\noom_group_kill 99\n".utf8)
      $0.pidsCurrent = Data("14\n".utf8)
      $0.pidsMax = Data("15\n".utf8)
      $0.cpuPressure = Data(
        "some avg10=1.53 avg60=0.87 avg300=100.00 total=16\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=17\n".utf8)
      $0.memoryPressure = Data(
        "some avg10=2.00 avg60=0.00 avg300=0.00 total=18\nfull avg10=3.00 avg60=0.00 avg300=0.00 total=19\n".utf8)
      $0.ioPressure = Data("full avg10=4.00 avg60=0.00 avg300=0.00 total=21\n".utf8)
      $0.ioStat = Data("8:0 rbytes=22 wbytes=23 rios=24 wios=25 dbytes=0 dios=0\n7:1 \n253:3 rbytes=1 wbytes=0\n".utf8)
      $0.processes = 26
    }
    let response = Bulkhead_Agent_V1_StatsResponse.with {
      $0.pod = files
      $0.pod.processes = 100
      $0.containers = [
        .with {
          $0.containerID = container.text
          $0.usage = files
          $0.writableBytes = 27
        }
      ]
      $0.processDetails = [
        .with {
          $0.containerID = container.text
          $0.sockets = 28
          $0.openFilesLimit = .max
        }, .with { $0.containerID = ContainerID.random().text },
      ]
      $0.partitions = Data("major minor  #blocks  name\n\n   8        0    4096 sda\n 253        0    4096 vda\n".utf8)
      $0.interfaces = Data(
        """
        Inter-|   Receive                                                |  Transmit
         face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
            lo:     100       2    0    0    0     0          0         0      100       2    0    0    0     0       0          0
          eth0:    5000      40    1    2    0     0          0         0     6000      50    3    4    0     0       0          0
        """.utf8)
    }
    let pod = usage(response)
    #expect(pod.total.processes == 126)
    let found = try #require(pod.containers[container])
    #expect(pod.containers.count == 1)
    #expect((found.writableBytes, found.writableInodes) == (27, nil))
    #expect((found.processes?.sockets, found.processes?.openFilesLimit) == (28, nil))
    let used = found.resources
    #expect(
      (used.cpuNanoseconds, used.cpuUserNanoseconds, used.cpuSystemNanoseconds) == (9_000_000, 6_000_000, 3_000_000))
    #expect((used.cpuPeriods, used.cpuThrottledPeriods, used.cpuThrottledNanoseconds) == (5, 4, 7000))
    #expect((used.memory, used.memoryPeak, used.memoryLimit, used.swap) == (4096, 8192, nil, 11))
    #expect((used.anonymous, used.file, used.kernelMemory, used.mappedFile) == (1, 2, 3, 4))
    #expect((used.inactiveFile, used.activeFile, used.pageFaults, used.majorPageFaults) == (5, 6, 7, 8))
    #expect((used.memoryLimitHits, used.oomKills, used.threads, used.threadsLimit) == (12, 13, 14, 15))
    #expect((used.workingSet, used.processes) == (4091, 26))
    #expect((used.cpuPressure.some.average10s, used.cpuPressure.some.average60s) == (1.53, 0.87))
    #expect((used.cpuPressure.some.average300s, used.cpuPressure.full.nanoseconds) == (100, 17000))
    #expect((used.memoryPressure.some.nanoseconds, used.memoryPressure.full.average10s) == (18000, 3))
    #expect((used.ioPressure.some.nanoseconds, used.ioPressure.full.nanoseconds) == (0, 21000))
    #expect(used.disks.map(\.device) == ["/dev/sda", "/dev/"])
    let disk = used.disks[0]
    #expect((disk.readBytes, disk.writtenBytes, disk.reads, disk.writes) == (22, 23, 24, 25))
    #expect(pod.interfaces.map(\.name) == ["lo", "eth0"])
    let interface = pod.interfaces[1]
    #expect((interface.receivedBytes, interface.receiveErrors, interface.receiveDrops) == (5000, 1, 2))
    #expect((interface.sentBytes, interface.sentPackets) == (6000, 50))
    #expect((interface.sendErrors, interface.sendDrops) == (3, 4))
  }

  @Test func aGuestCanSayAnything() {
    let endless = String(repeating: "x", count: 1 << 20)
    let hostile = Bulkhead_Agent_V1_StatsResponse.with {
      $0.pod.cpuStat = Data("usage_usec 99999999999999999999999\nuser_usec".utf8)
      $0.pod.memoryStat = Data("inactive_file 99999999999999999999999".utf8)
      $0.pod.cpuPressure = Data("some avg10=99999999999999999999.99".utf8)
      $0.pod.ioStat = Data(String(repeating: "8:0 rbytes=1 \(endless)\n8:1 a b c\n", count: 3).utf8)
      $0.pod.ioPressure = Data((0...255).map { UInt8($0) })
      $0.partitions = Data("t\n8 0 1 sda\u{1b}[2J\n8 1 1 \(endless)\n8 2\n".utf8)
      let interface = "eth0\u{7}yyyyyyyyyyyyyyyyyyyyyyyyyy: " + String(repeating: "1 ", count: 17)
      $0.interfaces = Data(("\n\n1\n2\n" + String(repeating: interface + "\n", count: 1000)).utf8)
      $0.containers = [
        .with { $0.containerID = ContainerID.random().text }, .with { $0.containerID = "../../etc" },
        .with { $0.containerID = container.text }, .with { $0.containerID = container.text },
      ]
    }
    let usage = usage(hostile)
    #expect(usage.total.cpuNanoseconds == .max && usage.total.workingSet == 0)
    #expect(usage.total.cpuPressure.some.average10s == 100)
    #expect((1...64).contains(usage.total.disks.count) && usage.interfaces.count == 64)
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
