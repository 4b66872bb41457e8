import AgentProtocol

/// A container's limits as the CRI gives them (LinuxContainerResources); 0 and empty: none.
public struct ContainerResources: Sendable, Codable, Equatable {
  public var cpuShares: Int64 = 0
  public var cpuQuotaMicroseconds: Int64 = 0
  public var cpuPeriodMicroseconds: Int64 = 0
  public var memoryLimitBytes: Int64 = 0
  public var memorySwapLimitBytes: Int64 = 0
  public var oomScoreAdjustment: Int64 = 0
  public var cpusetCPUs = ""
  public var cpusetMemories = ""
  public var unified: [String: String] = [:]
  public var hugepageLimits: [String: UInt64] = [:]
  public init() {}

  /// The quota in thousandths of a core; nil: none.
  var milliCPU: Int64? {
    guard cpuQuotaMicroseconds > 0 else { return nil }
    let period = cpuPeriodMicroseconds > 0 ? cpuPeriodMicroseconds : 100_000
    let (product, overflow) = cpuQuotaMicroseconds.multipliedReportingOverflow(by: 1000)
    return overflow ? .max : product / period
  }
}

/// What UpdateContainerResources asks for; nil: as it was.
public struct ContainerResourceChanges: Sendable, Equatable {
  public var cpuShares: Int64?
  /// 0: no quota any more.
  public var cpuQuotaMicroseconds: Int64?
  public var cpuPeriodMicroseconds: Int64?
  /// 0: no limit any more.
  public var memoryLimitBytes: Int64?
  public var memorySwapLimitBytes: Int64?
  public var cpusetCPUs: String?
  public var cpusetMemories: String?
  /// Added to those that there are.
  public var unified: [String: String] = [:]
  public var hugepageLimits: [String: UInt64] = [:]
  public init() {}
}

extension ContainerResources {
  func applying(_ changes: ContainerResourceChanges) -> ContainerResources {
    var result = self
    result.cpuShares = changes.cpuShares ?? cpuShares
    result.cpuQuotaMicroseconds = changes.cpuQuotaMicroseconds ?? cpuQuotaMicroseconds
    result.cpuPeriodMicroseconds = changes.cpuPeriodMicroseconds ?? cpuPeriodMicroseconds
    if let memory = changes.memoryLimitBytes {
      result.memoryLimitBytes = memory
      // It counts memory too, and would no longer fit: as containerd, no swap unless asked for.
      if memorySwapLimitBytes > 0 { result.memorySwapLimitBytes = memory }
    }
    result.memorySwapLimitBytes = changes.memorySwapLimitBytes ?? result.memorySwapLimitBytes
    result.cpusetCPUs = changes.cpusetCPUs ?? cpusetCPUs
    result.cpusetMemories = changes.cpusetMemories ?? cpusetMemories
    result.unified.merge(changes.unified) { $1 }
    result.hugepageLimits.merge(changes.hugepageLimits) { $1 }
    return result
  }

  /// As the agent takes them.
  func message(pidsLimit: Int64) -> Bulkhead_Agent_V1_Resources {
    .with {
      $0.cpuShares = UInt64(max(cpuShares, 0))
      $0.cpuQuotaMicroseconds = cpuQuotaMicroseconds
      $0.cpuPeriodMicroseconds = UInt64(max(cpuPeriodMicroseconds, 0))
      $0.cpusetCpus = cpusetCPUs
      $0.cpusetMems = cpusetMemories
      $0.memoryLimitBytes = UInt64(max(memoryLimitBytes, 0))
      $0.memorySwapLimitBytes = memorySwapLimitBytes
      $0.pidsLimit = pidsLimit
      $0.unified = unified
      $0.hugepageLimits = hugepageLimits
    }
  }
}
