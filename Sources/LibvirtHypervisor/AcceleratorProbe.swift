import Common
import Hypervisor
import LinuxSystem

#if canImport(Glibc)
  import Glibc
#endif

/// Finds out whether KVM works by running a guest on it: the device may be there and refuse, or fail
/// on the first instruction, as it does on many virtual hosts.
struct AcceleratorProbe: Sendable {
  var emulator: String
  /// Where a file can be put that any user can read.
  var directory: String

  /// Blocks for as long as the test guest runs, at most five seconds. Touches /dev/kvm only if `choice`
  /// allows it. Throws `failedPrecondition` if KVM is asked for and does not work.
  func choose(_ choice: LibvirtConfiguration.AcceleratorChoice, because reason: String) throws -> Acceleration {
    switch choice {
    case .tcg: return Acceleration(accelerator: .tcg, reason: reason)
    case .kvm:
      if let failure = try failureOfKVM() {
        throw BulkheadError(
          .failedPrecondition,
          "KVM was asked for (\(reason)) but does not work: \(failure); allow it, or choose the accelerator auto or tcg"
        )
      }
      return Acceleration(accelerator: .kvm, reason: "\(reason); a test guest ran on /dev/kvm")
    case .auto:
      if let failure = try failureOfKVM() { return Acceleration(accelerator: .tcg, reason: failure) }
      return Acceleration(accelerator: .kvm, reason: "a test guest ran on /dev/kvm")
    }
  }

  /// The group through which a machine's QEMU may open /dev/kvm; nil if there is none.
  static func kvmGroup() -> UInt32? {
    var status = stat()
    guard stat("/dev/kvm", &status) == 0, status.st_mode & 0o060 == 0o060 else { return nil }
    return status.st_gid
  }

  private func failureOfKVM() throws -> String? {
    guard access("/dev/kvm", F_OK) == 0 else { return "no /dev/kvm" }
    guard let group = Self.kvmGroup() else { return "/dev/kvm is not open to a group (mode 0660, group kvm)" }
    return try failure(of: .kvm, group: group)
  }

  /// Why a guest does not run, or nil if it does.
  func failure(of accelerator: Accelerator, group: UInt32) throws -> String? {
    let rom = directory + "/probe.rom"
    try replaceFile(rom, Self.rom, mode: 0o444)
    defer { unlink(rom) }
    // As machines will be: not root, and in no group but the device's.
    let status = try run(
      "/usr/bin/setpriv",
      [
        "--reuid", "65534", "--regid", "\(group)", "--clear-groups", emulator, "-machine",
        "q35,accel=\(accelerator.rawValue)", "-nodefaults", "-no-user-config", "-display", "none", "-m", "16", "-bios",
        rom, "-device", "isa-debug-exit,iobase=0x501,iosize=2", "-sandbox", "on",
      ])
    guard let status else { return "a test guest did not end in 5 s" }
    return status == Self.expectedStatus ? nil : "a test guest did not run (QEMU ended with \(status))"
  }

  /// A firmware of 64 KiB that writes a byte to QEMU's debug-exit device and stops. Real mode begins
  /// 16 bytes before its end: mov dx, 0x501; mov al, 0x2a; out dx, al; hlt; jmp to the hlt.
  private static let rom: [UInt8] = {
    let start: [UInt8] = [0xba, 0x01, 0x05, 0xb0, 0x2a, 0xee, 0xf4, 0xeb, 0xfd]
    return [UInt8](repeating: 0xf4, count: (64 << 10) - 16) + start + [UInt8](repeating: 0xf4, count: 16 - start.count)
  }()
  /// The device ends QEMU with twice the byte and one.
  private static let expectedStatus: Int32 = 0x2a << 1 | 1

  /// The exit status; nil if it had to be killed, and 128 and the signal's number if one ended it.
  private func run(_ program: String, _ arguments: [String]) throws -> Int32? {
    let pid = try spawnProcess(program, arguments, output: nil)
    for _ in 0..<500 {
      var status: Int32 = 0
      if waitpid(pid, &status, WNOHANG) == pid { return status & 0x7f == 0 ? status >> 8 & 0xff : 128 + status & 0x7f }
      usleep(10_000)
    }
    kill(pid, SIGKILL)
    waitpid(pid, nil, 0)
    return nil
  }
}
