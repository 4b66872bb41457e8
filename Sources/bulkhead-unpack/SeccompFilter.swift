import CSeccomp
import Glibc
import LayerFormat

/// The system calls that are left: reading and writing what is open, memory that is never executable,
/// and the process's own end. Files cannot be opened, which libraries may try and are told; anything
/// else kills the process.
enum SeccompFilter {
  private static let allowed = [
    "read", "write", "pwrite64", "ftruncate", "munmap", "mremap", "madvise", "brk", "futex", "getrandom",
    "clock_gettime", "sched_yield", "restart_syscall", "rt_sigreturn", "rt_sigprocmask", "exit", "exit_group",
  ]
  private static let withoutExecution = ["mmap", "mprotect"]
  private static let refused = ["open", "openat", "newfstatat"]

  private static let kill: UInt32 = 0x8000_0000  // SCMP_ACT_KILL_PROCESS
  private static let allow: UInt32 = 0x7fff_0000  // SCMP_ACT_ALLOW
  private static let refuse: UInt32 = 0x0005_0000 | UInt32(EACCES)  // SCMP_ACT_ERRNO(EACCES)

  static func load() throws {
    guard let filter = seccomp_init(kill) else { throw LayerFormatError("libseccomp cannot make a filter") }
    defer { seccomp_release(filter) }
    for name in allowed { try add(filter, allow, name) }
    for name in refused { try add(filter, refuse, name) }
    // The third argument is the protection in both calls.
    let notExecutable = scmp_arg_cmp(arg: 2, op: SCMP_CMP_MASKED_EQ, datum_a: UInt64(PROT_EXEC), datum_b: 0)
    for name in withoutExecution { try add(filter, allow, name, [notExecutable]) }
    let result = seccomp_load(filter)
    guard result == 0 else {
      throw LayerFormatError("cannot load the seccomp filter: \(String(cString: strerror(-result)))")
    }
  }

  private static func add(
    _ filter: scmp_filter_ctx, _ action: UInt32, _ name: String, _ conditions: [scmp_arg_cmp] = []
  ) throws {
    let result = seccomp_rule_add_array(
      filter, action, seccomp_syscall_resolve_name(name), UInt32(conditions.count), conditions)
    guard result == 0 else {
      throw LayerFormatError("cannot filter \(name): \(String(cString: strerror(-result)))")
    }
  }
}
