import CSeccomp
import Glibc

/// struct sock_filter (BPF, linux/filter.h) in bytes, and BPF_MAXINSNS.
let instructionSize = 8
let longestProgram = 4096

/// Instructions to go before a filter that answers an error where no rule fits: system calls that are newer
/// than libseccomp, and so than any rule, answer ENOSYS instead. That is how C libraries learn that a kernel
/// lacks a call and fall back to an older one; EPERM would break them. runc does the same.
func unknownCallsAreMissing() -> [UInt8] {
  [
    // Offsets in struct seccomp_data (seccomp(2)): the architecture is at 4, the number at 0.
    instruction(0x20, 4),
    instruction(0x15, nativeArchitecture, else: 4),
    instruction(0x20, 0),
    // From here on numbers are those of the x32 ABI.
    instruction(0x35, 0x4000_0000, then: 2),
    instruction(0x25, newestKnownSystemCall, else: 1),
    instruction(0x06, 0x0005_0000 | 38),
  ].flatMap(\.self)
}

/// AUDIT_ARCH_X86_64
private let nativeArchitecture: UInt32 = 0xc000_003e

private func instruction(_ code: UInt16, _ value: UInt32, then: UInt8 = 0, else otherwise: UInt8 = 0) -> [UInt8] {
  func little(_ value: some FixedWidthInteger) -> [UInt8] { withUnsafeBytes(of: value.littleEndian, Array.init) }
  return little(code) + [then, otherwise] + little(value)
}

/// The highest number of a system call that libseccomp has a name for.
private let newestKnownSystemCall: UInt32 = {
  for number in stride(from: Int32(1023), to: 0, by: -1) {
    guard let name = seccomp_syscall_resolve_num_arch(nativeArchitecture, number) else { continue }
    free(name)
    return UInt32(number)
  }
  return 1023
}()

/// System calls of Linux 6.2 to 6.18, which profiles name and which neither this kernel nor libseccomp 2.5 has.
let newerSystemCalls: Set<String> = [
  "cachestat", "fchmodat2", "file_getattr", "file_setattr", "futex_requeue", "futex_wait", "futex_wake", "getxattrat",
  "listmount", "listns", "listxattrat", "lsm_get_self_attr", "lsm_list_modules", "lsm_set_self_attr",
  "map_shadow_stack", "mseal", "open_tree_attr", "removexattrat", "riscv_hwprobe", "setxattrat", "statmount", "uprobe",
  "uretprobe",
]
