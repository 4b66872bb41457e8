/// What is done to the process itself before it becomes the program.
public struct ProcessPlan: WireCoded, Sendable {
  public var arguments: [[UInt8]] = []
  /// `name=value` each.
  public var environment: [[UInt8]] = []
  public var directory: [UInt8] = []
  public var terminal = false
  public var capabilities = CapabilityPlan()
  public var limits: [LimitPlan] = []
  public var noNewPrivileges = false
  public var oomScoreAdjustment: Int32 = 0
  /// A classic BPF program (struct sock_filter each); empty: no filter.
  public var seccompProgram: [UInt8] = []
  /// SECCOMP_FILTER_FLAG_*
  public var seccompFlags: UInt32 = 0

  public init() {}

  public mutating func code(with coder: inout some FieldCoder) throws(WireError) {
    try coder.byteStrings(&arguments)
    try coder.byteStrings(&environment)
    try coder.bytes(&directory)
    try coder.flag(&terminal)
    try capabilities.code(with: &coder)
    try coder.list(&limits)
    try coder.flag(&noNewPrivileges)
    try coder.integer(&oomScoreAdjustment)
    try coder.bytes(&seccompProgram)
    try coder.integer(&seccompFlags)
  }
}

/// Capability sets, bit n for capability number n (capabilities(7)).
public struct CapabilityPlan: WireCoded, Sendable, Equatable {
  public var bounding: UInt64 = 0
  public var effective: UInt64 = 0
  public var inheritable: UInt64 = 0
  public var permitted: UInt64 = 0
  public var ambient: UInt64 = 0

  public init() {}

  public mutating func code(with coder: inout some FieldCoder) throws(WireError) {
    try coder.integer(&bounding)
    try coder.integer(&effective)
    try coder.integer(&inheritable)
    try coder.integer(&permitted)
    try coder.integer(&ambient)
  }
}

public struct LimitPlan: WireCoded, Sendable, Equatable {
  /// RLIMIT_* of setrlimit(2).
  public var resource: UInt32 = 0
  public var soft: UInt64 = 0
  public var hard: UInt64 = 0

  public init() {}

  public mutating func code(with coder: inout some FieldCoder) throws(WireError) {
    try coder.integer(&resource)
    try coder.integer(&soft)
    try coder.integer(&hard)
  }
}
