import AgentProtocol
import CCap
import CGuest
import ContainerInit
import FoundationEssentials
import GRPCCore
import Glibc

extension ProcessPlan {
  /// All of `process` but its user and its filter. Throws INVALID_ARGUMENT.
  init(_ process: Bulkhead_Agent_V1_Process) throws {
    self.init()
    guard !process.args.isEmpty else { throw invalid("process.args is empty: there is nothing to run") }
    arguments = try process.args.map { try Validated.bytes($0, "process.args") }
    environment = try process.env.map { try Validated.bytes($0, "process.env") }
    directory = process.cwd.isEmpty ? Array("/".utf8) : try Validated.path(process.cwd, "process.cwd")
    terminal = process.terminal
    noNewPrivileges = process.noNewPrivileges
    capabilities = try CapabilityPlan(process.capabilities)
    limits = Self.defaultLimits + (try process.rlimits.map(LimitPlan.init))
    guard (-1000...1000).contains(process.oomScoreAdj) else {
      throw invalid("process.oom_score_adj is not -1000 to 1000")
    }
    oomScoreAdjustment = process.oomScoreAdj
  }

  /// What systemd gives services, and containerd so its containers: programs that close every descriptor
  /// they could have still start fast.
  private static let defaultLimits: [LimitPlan] = [
    limit(.descriptors, 1024, 524_288), limit(.processes, .max, .max),
  ]

  private enum Resource: UInt32 { case processes = 6, descriptors }

  private static func limit(_ resource: Resource, _ soft: UInt64, _ hard: UInt64) -> LimitPlan {
    var plan = LimitPlan()
    plan.resource = resource.rawValue
    // A guest has no limit, but whoever runs the agent elsewhere may.
    plan.hard = min(hard, guest_hard_limit(plan.resource))
    plan.soft = min(soft, plan.hard)
    return plan
  }

  /// This process' surroundings for another program. `environment` wins over equal names.
  func forExec(_ start: Bulkhead_Agent_V1_ExecStart) throws -> ProcessPlan {
    guard !start.args.isEmpty else { throw invalid("args is empty: there is nothing to run") }
    var plan = self
    plan.arguments = try start.args.map { try Validated.bytes($0, "args") }
    plan.terminal = start.terminal
    for addition in try start.env.map({ try Validated.bytes($0, "env") }) {
      let name = addition.prefix { $0 != UInt8(ascii: "=") } + [UInt8(ascii: "=")]
      plan.environment.removeAll { $0.starts(with: name) }
      plan.environment.append(addition)
    }
    return plan
  }
}

extension CapabilityPlan {
  init(_ capabilities: Bulkhead_Agent_V1_Capabilities) throws {
    self.init()
    bounding = try Self.mask(capabilities.bounding)
    effective = try Self.mask(capabilities.effective)
    inheritable = try Self.mask(capabilities.inheritable)
    permitted = try Self.mask(capabilities.permitted)
    ambient = try Self.mask(capabilities.ambient)
  }

  private static func mask(_ names: [String]) throws -> UInt64 {
    try names.reduce(0) { mask, name in
      var number: cap_value_t = 0
      guard name.hasPrefix("CAP_"), cap_from_name(name, &number) == 0, (0..<64).contains(number) else {
        throw invalid("capability \"\(name.prefix(64))\" is not known")
      }
      return mask | 1 << UInt64(number)
    }
  }
}

extension LimitPlan {
  init(_ limit: Bulkhead_Agent_V1_Rlimit) throws {
    self.init()
    guard let index = Self.names.firstIndex(of: limit.type) else {
      throw invalid("rlimit \"\(limit.type.prefix(32))\" is not known")
    }
    guard limit.soft <= limit.hard else { throw invalid("\(limit.type): soft is above hard") }
    resource = UInt32(index)
    soft = limit.soft
    hard = limit.hard
  }

  /// In the order of their numbers on x86-64 and aarch64 (setrlimit(2)).
  private static let names = [
    "RLIMIT_CPU", "RLIMIT_FSIZE", "RLIMIT_DATA", "RLIMIT_STACK", "RLIMIT_CORE", "RLIMIT_RSS", "RLIMIT_NPROC",
    "RLIMIT_NOFILE", "RLIMIT_MEMLOCK", "RLIMIT_AS", "RLIMIT_LOCKS", "RLIMIT_SIGPENDING", "RLIMIT_MSGQUEUE",
    "RLIMIT_NICE", "RLIMIT_RTPRIO", "RLIMIT_RTTIME",
  ]
}
