import AgentProtocol
import GRPCCore
import Testing

@testable import AgentCore

struct ResourceTests {
  private typealias Resources = Bulkhead_Agent_V1_Resources

  @Test func noLimitsAreNoFiles() throws {
    #expect(try cgroupSettings(Resources()).isEmpty)
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
    let files = try cgroupSettings(resources).map { "\($0.file)=\($0.value)" }
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
    #expect(throws: RPCError.self) { try cgroupSettings(resources) }
  }

  @Test func swapBelowMemoryMakesNoSense() {
    var resources = Resources()
    resources.memoryLimitBytes = 200
    resources.memorySwapLimitBytes = 100
    #expect(throws: RPCError.self) { try cgroupSettings(resources) }
    resources.cpusetCpus = "0; reboot"
    #expect(throws: RPCError.self) { try cgroupSettings(resources) }
  }
}
