import AgentProtocol
import Common
import OCISpec

/// A profile as one container gets it: its conditions decided, its rules in the agent's terms. Throws
/// `invalidArgument` for what can't be honoured.
struct SeccompTranslation {
  var profile: SeccompProfile
  /// The container's bounding set.
  var capabilities: Set<String>
  /// Of the guest's kernel, for conditions.
  var kernel = [6, 1]

  func message() throws(BulkheadError) -> Bulkhead_Agent_V1_Seccomp {
    var message = Bulkhead_Agent_V1_Seccomp()
    message.defaultAction = try action(profile.defaultAction)
    if let number = profile.defaultErrnoRet { message.defaultErrno = try bounded(number, for: profile.defaultAction) }
    message.architectures = try architectures()
    message.flags = try (profile.flags ?? []).map(flag)
    for rule in profile.syscalls ?? [] where try applies(rule) { message.syscalls.append(try translated(rule)) }
    return message
  }

  // MARK: - Rules

  private func translated(_ rule: SeccompProfile.Rule) throws(BulkheadError) -> Bulkhead_Agent_V1_SeccompRule {
    var message = Bulkhead_Agent_V1_SeccompRule()
    message.names = (rule.names ?? []) + (rule.name.map { [$0] } ?? [])
    guard !message.names.isEmpty else { throw invalid("has a rule without names") }
    message.action = try action(rule.action)
    if let number = rule.errnoRet { message.errno = try bounded(number, for: rule.action) }
    for argument in rule.args ?? [] {
      guard argument.index < 6 else {
        throw invalid("looks at argument \(argument.index) of \(shown(message.names)): a system call has six, from 0")
      }
      message.args.append(
        .with {
          $0.index = argument.index
          $0.value = argument.value
          $0.valueTwo = argument.valueTwo ?? 0
          $0.op = argument.op.rawValue
        })
    }
    return message
  }

  private func action(_ action: SeccompProfile.Action) throws(BulkheadError) -> String {
    guard action != .notify else {
      throw invalid(
        "uses SCMP_ACT_NOTIFY: the process that would answer is on the node, and system calls of a virtual machine can't be handed to it; use SCMP_ACT_ERRNO, or another runtime class"
      )
    }
    return action.rawValue
  }

  /// What the filter hands to the caller (an error number) or its tracer, in 16 bits.
  private func bounded(_ number: UInt32, for action: SeccompProfile.Action) throws(BulkheadError) -> UInt32 {
    // MAX_ERRNO of the kernel: what is above comes out as it.
    let most: UInt32 = action == .errno ? 4095 : 65535
    guard number <= most else { throw invalid("has an errnoRet above \(most): \(number)") }
    return number
  }

  private func flag(_ flag: String) throws(BulkheadError) -> String {
    if flag == "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" {
      throw invalid("has the flag \(flag), which is for SCMP_ACT_NOTIFY")
    }
    guard Self.flags.contains(flag) else { throw invalid("has the unknown flag \(printable(flag, limit: 64))") }
    return flag
  }

  private static let flags: Set = [
    "SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
  ]

  // MARK: - Architectures

  /// Of those the profile names, the ones whose programs this processor can run at all.
  private func architectures() throws(BulkheadError) -> [String] {
    var names = profile.architectures ?? []
    for map in profile.archMap ?? [] where map.architecture == Self.native {
      names += [map.architecture] + (map.subArchitectures ?? [])
    }
    if let unknown = names.first(where: { !Self.known.contains($0) }) {
      throw invalid("names the unknown architecture \(printable(unknown, limit: 64))")
    }
    return Self.runnable.filter(names.contains)
  }

  private static let native = "SCMP_ARCH_X86_64"
  private static let runnable = [native, "SCMP_ARCH_X86", "SCMP_ARCH_X32"]
  private static let known = Set(
    runnable
      + [
        "ARM", "AARCH64", "MIPS", "MIPS64", "MIPS64N32", "MIPSEL", "MIPSEL64", "MIPSEL64N32", "PPC", "PPC64", "PPC64LE",
        "S390", "S390X", "PARISC", "PARISC64", "RISCV64", "LOONGARCH64", "M68K", "SH", "SHEB",
      ].map { "SCMP_ARCH_\($0)" })

  // MARK: - Conditions

  private func applies(_ rule: SeccompProfile.Rule) throws(BulkheadError) -> Bool {
    if let includes = rule.includes {
      if let arches = includes.arches, !arches.isEmpty, !arches.contains(Self.goName) { return false }
      guard (includes.caps ?? []).allSatisfy(capabilities.contains) else { return false }
      if let minimum = includes.minKernel, try !isAtLeast(minimum) { return false }
    }
    if let excludes = rule.excludes {
      if (excludes.arches ?? []).contains(Self.goName) { return false }
      if (excludes.caps ?? []).contains(where: capabilities.contains) { return false }
      if let minimum = excludes.minKernel, try isAtLeast(minimum) { return false }
    }
    return true
  }

  private static let goName = "amd64"

  private func isAtLeast(_ version: String) throws(BulkheadError) -> Bool {
    let parts = version.split(separator: ".", omittingEmptySubsequences: false).map { UInt16($0).map(Int.init) }
    guard (1...3).contains(parts.count), !parts.contains(nil) else {
      throw invalid("has a minKernel that is no version: \(printable(version, limit: 32))")
    }
    return !kernel.lexicographicallyPrecedes(parts.prefix(2).compactMap(\.self))
  }

  private func invalid(_ why: String) -> BulkheadError { BulkheadError(.invalidArgument, "the seccomp profile \(why)") }
  private func shown(_ names: [String]) -> String { printable(names.first ?? "", limit: 64) }
}
