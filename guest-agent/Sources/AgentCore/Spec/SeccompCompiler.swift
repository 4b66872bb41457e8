import AgentProtocol
import CGuest
import CSeccomp
import ContainerInit
import GRPCCore
import Glibc
import LinuxSystem
import Synchronization

/// A seccomp profile as the kernel loads it.
struct SeccompProgram: Sendable {
  /// struct sock_filter each.
  var bytes: [UInt8]
  var flags: UInt32
}

/// Compiles profiles with libseccomp, each once: a pod's containers mostly share one, and compiling takes
/// longer than all else that starting a process takes.
final class SeccompCompiler: Sendable {
  private static let kept = 8
  private let programs = Mutex<[(profile: Bulkhead_Agent_V1_Seccomp, program: SeccompProgram)]>([])

  /// Blocks for milliseconds. Throws INVALID_ARGUMENT.
  func compile(_ profile: Bulkhead_Agent_V1_Seccomp) throws -> SeccompProgram {
    if let known = programs.withLock({ $0.first { $0.profile == profile } }) { return known.program }
    let program = SeccompProgram(bytes: try export(profile), flags: try flags(profile.flags))
    programs.withLock { programs in
      if programs.count == Self.kept { programs.removeFirst() }
      programs.append((profile, program))
    }
    return program
  }
}

private func export(_ profile: Bulkhead_Agent_V1_Seccomp) throws -> [UInt8] {
  let fallback = try action(profile.defaultAction, errno: profile.hasDefaultErrno ? profile.defaultErrno : nil)
  guard let context = seccomp_init(fallback) else { throw invalid("seccomp: bad default action") }
  defer { seccomp_release(context) }
  for architecture in profile.architectures {
    let name = architecture.hasPrefix("SCMP_ARCH_") ? String(architecture.dropFirst(10)).lowercased() : ""
    let token = seccomp_arch_resolve_name(name)
    guard token != 0 else { throw invalid("seccomp: architecture \"\(architecture.prefix(32))\" is not known") }
    let result = seccomp_arch_add(context, token)
    guard result == 0 || result == -EEXIST else { throw failed("add architecture \(architecture)", result) }
  }
  for rule in profile.syscalls {
    let outcome = try action(rule.action, errno: rule.hasErrno ? rule.errno : nil)
    // libseccomp refuses rules that say what happens anyway.
    if outcome == fallback { continue }
    let arguments = try rule.args.map(comparison)
    for name in rule.names { try add(name, outcome, arguments, to: context) }
  }
  let file = Descriptor(owning: try systemCall("memfd_create") { guest_memory_file("bpf") })
  let result = seccomp_export_bpf(context, file.number)
  guard result == 0 else { throw failed("compile the profile", result) }
  lseek(file.number, 0, SEEK_SET)
  var program = try readFile("/proc/self/fd/\(file.number)", limit: 1 << 20)
  if fallback & actionMask == errnoAction { program = unknownCallsAreMissing() + program }
  guard program.count / instructionSize <= longestProgram else {
    throw invalid(
      "seccomp: the profile is longer than the kernel takes: \(program.count / instructionSize) instructions")
  }
  return program
}

/// Adds one rule for the system call `name`. A call that is newer than libseccomp is one that this kernel
/// doesn't have either, and is passed over. A name that no Linux has is refused: where it was to be denied, the
/// profile would not do what its author believes.
private func add(
  _ name: String, _ action: UInt32, _ arguments: [scmp_arg_cmp], to context: scmp_filter_ctx
) throws {
  let number = seccomp_syscall_resolve_name(name)
  if number == unknownSystemCall {
    guard newerSystemCalls.contains(name) else {
      throw invalid("seccomp: \"\(shown(name.utf8.prefix(64)))\" is no system call of Linux")
    }
    return
  }
  // Several conditions on one argument are alternatives, as in libseccomp's own semantics for separate rules.
  let repeated = Set(arguments.map(\.arg)).count < arguments.count
  for group in repeated ? arguments.map({ [$0] }) : [arguments] {
    let result = seccomp_rule_add_array(context, action, number, UInt32(group.count), group)
    guard result == 0 || result == -EEXIST else { throw failed("add a rule for \(name.prefix(64))", result) }
  }
}

/// __NR_SCMP_ERROR
private let unknownSystemCall: Int32 = -1

private func failed(_ doing: String, _ result: Int32) -> RPCError {
  invalid("seccomp: can't \(doing): \(String(cString: strerror(-result)))")
}

private let actionMask: UInt32 = 0x7fff_0000
private let errnoAction: UInt32 = 0x0005_0000

/// SCMP_ACT_* as seccomp.h defines them; their arguments are in the lower half.
private func action(_ name: String, errno number: UInt32?) throws -> UInt32 {
  let argument = (number ?? UInt32(EPERM)) & 0xffff
  switch name {
  case "SCMP_ACT_KILL", "SCMP_ACT_KILL_THREAD": return 0
  case "SCMP_ACT_KILL_PROCESS": return 0x8000_0000
  case "SCMP_ACT_TRAP": return 0x0003_0000
  case "SCMP_ACT_ERRNO": return errnoAction | argument
  case "SCMP_ACT_TRACE": return 0x7ff0_0000 | argument
  case "SCMP_ACT_LOG": return 0x7ffc_0000
  case "SCMP_ACT_ALLOW": return 0x7fff_0000
  default: throw invalid("seccomp: action \"\(name.prefix(64))\" is not supported")
  }
}

private func comparison(_ argument: Bulkhead_Agent_V1_SeccompArgument) throws -> scmp_arg_cmp {
  let operations: [String: scmp_compare] = [
    "SCMP_CMP_NE": SCMP_CMP_NE, "SCMP_CMP_LT": SCMP_CMP_LT, "SCMP_CMP_LE": SCMP_CMP_LE, "SCMP_CMP_EQ": SCMP_CMP_EQ,
    "SCMP_CMP_GE": SCMP_CMP_GE, "SCMP_CMP_GT": SCMP_CMP_GT, "SCMP_CMP_MASKED_EQ": SCMP_CMP_MASKED_EQ,
  ]
  guard argument.index < 6 else { throw invalid("seccomp: a system call has no argument \(argument.index)") }
  guard let operation = operations[argument.op] else {
    throw invalid("seccomp: operator \"\(argument.op.prefix(32))\" is not known")
  }
  return scmp_arg_cmp(arg: argument.index, op: operation, datum_a: argument.value, datum_b: argument.valueTwo)
}

/// SECCOMP_FILTER_FLAG_* of seccomp(2).
private func flags(_ names: [String]) throws -> UInt32 {
  try names.reduce(0) { flags, name in
    switch name {
    // Of no consequence for a process with one thread.
    case "SECCOMP_FILTER_FLAG_TSYNC": return flags
    case "SECCOMP_FILTER_FLAG_LOG": return flags | 2
    case "SECCOMP_FILTER_FLAG_SPEC_ALLOW": return flags | 4
    default: throw invalid("seccomp: flag \"\(name.prefix(64))\" is not supported")
    }
  }
}
