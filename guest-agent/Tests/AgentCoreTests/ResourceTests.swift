import AgentProtocol
import GRPCCore
import Testing

@testable import AgentCore

struct ResourceTests {
  private typealias Resources = Bulkhead_Agent_V1_Resources
  private let guest = GuestTopology(cpus: [0...7], memoryNodes: [0...0])

  @Test func noLimitsAreNoFiles() throws {
    #expect(try cgroupSettings(Resources(), guest: guest).isEmpty)
  }

  @Test func limitsAsTheKernelHasThem() throws {
    var resources = Resources()
    resources.cpuShares = 1024
    resources.cpuQuotaMicroseconds = 50_000
    resources.cpusetCpus = "0-3,6"
    resources.memoryLimitBytes = 100
    resources.memorySwapLimitBytes = 150
    resources.pidsLimit = -1
    resources.hugepageLimits = ["2MB": 4096]
    resources.unified = ["memory.oom.group": "1"]
    let files = try cgroupSettings(resources, guest: guest).map { "\($0.file)=\($0.value)" }
    #expect(
      files == [
        "cpu.weight=39", "cpu.max=50000 100000", "cpuset.cpus=0-3,6", "memory.max=100", "memory.swap.max=50",
        "pids.max=max", "hugetlb.2MB.max=4096", "memory.oom.group=1",
      ])
  }

  @Test(arguments: zip([0, 2, 1024, 262_144, UInt64.max], [1, 1, 39, 10_000, 10_000] as [UInt64]))
  func sharesBecomeWeights(_ shares: UInt64, _ weight: UInt64) {
    #expect(cpuWeight(shares: shares) == weight)
  }

  @Test(arguments: ["cgroup.procs", "cgroup.kill", "../memory.max", "memory/max", "memory", ".max", "memory.", ""])
  func onlyControllersFilesCanBeSet(_ file: String) {
    var resources = Resources()
    resources.unified = [file: "1"]
    #expect(throws: RPCError.self) { try cgroupSettings(resources, guest: guest) }
  }

  @Test(arguments: ["1", "0-1", "0,5", "4-4294967295", "x", "0,"])
  func processorsThatTheVMHasNotAreRefused(_ list: String) {
    var resources = Resources()
    resources.cpusetCpus = list
    let small = GuestTopology(cpus: [0...0], memoryNodes: [0...0])
    #expect(throws: RPCError.self) { try cgroupSettings(resources, guest: small) }
    resources = Resources()
    resources.cpusetMems = list
    #expect(throws: RPCError.self) { try cgroupSettings(resources, guest: small) }
  }

  @Test func anUpdateLiftsWhatItDoesNotName() throws {
    var resources = Resources()
    resources.memoryLimitBytes = 100
    let files = try completeCgroupSettings(resources, guest: guest)
    #expect(files.filter { $0.file == "memory.max" }.map(\.value) == ["100"])
    #expect(files.contains(CgroupSetting(file: "cpu.max", value: "max 100000")))
    #expect(files.contains(CgroupSetting(file: "cpuset.cpus", value: "\n")))
  }

  @Test func swapBelowMemoryMakesNoSense() {
    var resources = Resources()
    resources.memoryLimitBytes = 200
    resources.memorySwapLimitBytes = 100
    #expect(throws: RPCError.self) { try cgroupSettings(resources, guest: guest) }
    resources.cpusetCpus = "0; reboot"
    #expect(throws: RPCError.self) { try cgroupSettings(resources, guest: guest) }
  }

  @Test func noContainerLivesWithoutMemory() throws {
    for value in ["0", "4096", " 4096\n", "1023k", "0m"] {
      var resources = Resources()
      resources.unified = ["memory.max": value]
      #expect(throws: RPCError.self) { try cgroupSettings(resources, guest: guest) }
    }
    for value in ["max", "1048576", "1M", "64g", "99999999999999999999", "99999999999g", "lots"] {
      var resources = Resources()
      resources.unified = ["memory.max": value]
      #expect(try cgroupSettings(resources, guest: guest).map(\.value) == [value])
    }
    #expect(memoryBytes("2K") == 2048 && memoryBytes("99999999999g") == .max && memoryBytes("max") == nil)
  }
}
