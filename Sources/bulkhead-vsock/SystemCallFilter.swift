import CSeccomp
import LinuxSystem

#if canImport(Glibc)
  import Glibc
#endif

/// The system calls that the device makes once it serves; any other kills it. What a guest could gain
/// by taking this process over is what these can do.
private let allowed = [
  // The loop, the sockets, QEMU's memory table.
  "accept4", "epoll_wait", "epoll_pwait", "epoll_ctl", "recvmsg", "recvfrom", "sendmsg", "sendto", "shutdown",
  "write", "close", "fcntl", "fstat", "newfstatat", "munmap",
  // The allocator's and the runtime's; clocks where the vdso has none.
  "brk", "madvise", "mremap", "futex", "getrandom", "clock_gettime", "rt_sigreturn", "exit", "exit_group",
]

/// Installs the filter for the whole process. Needs no_new_privs.
func installSystemCallFilter() throws(SystemError) {
  guard let filter = seccomp_init(0x8000_0000 /* SCMP_ACT_KILL_PROCESS */) else {
    throw SystemError("seccomp_init", ENOMEM)
  }
  defer { seccomp_release(filter) }
  for name in allowed {
    // A name that this architecture does not have (epoll_wait on arm64) is negative.
    let number = seccomp_syscall_resolve_name(name)
    if number >= 0 { try check("seccomp_rule_add \(name)", seccomp_rule_add_array(filter, allow, number, 0, nil)) }
  }
  // Memory, but none that can be executed.
  for name in ["mmap", "mprotect"] {
    let notExecutable = scmp_arg_cmp(arg: 2, op: SCMP_CMP_MASKED_EQ, datum_a: UInt64(PROT_EXEC), datum_b: 0)
    let number = seccomp_syscall_resolve_name(name)
    try check("seccomp_rule_add \(name)", seccomp_rule_add_array(filter, allow, number, 1, [notExecutable]))
  }
  try check("seccomp_load", seccomp_load(filter))
}

private let allow: UInt32 = 0x7fff_0000  // SCMP_ACT_ALLOW

private func check(_ call: String, _ result: Int32) throws(SystemError) {
  if result < 0 { throw SystemError(call, -result) }
}
