import Hypervisor

/// All that is particular to x86_64: another architecture is another value of this type.
struct GuestPlatform: Sendable {
  var architecture: String
  var machine: String
  /// The firmware, which does no more than to start the kernel; nil for the machine's own.
  var firmware: String?
  var console: String
  /// What makes the machine's kernel boot quickly.
  var kernelOptions: [String]

  static let x86_64 = GuestPlatform(
    architecture: "x86_64", machine: "q35", firmware: "/usr/share/qemu/qboot.rom", console: "ttyS0",
    kernelOptions: [
      // The machine has a good time source and timer: don't measure them against worse ones.
      "tsc=reliable", "no_timer_check",
      // Patching every lock prefix out on one CPU costs a tenth of a second, and back in when one is added.
      "noreplace-smp",
      // A reboot ends the VM; the shortest way there.
      "reboot=t",
    ])

  /// The kernel's command line. Nothing of a pod is in it: a VM boots knowing nothing of its pod.
  func commandLine(_ accelerator: Accelerator) -> String {
    var words = ["console=\(console)", "quiet", "panic=-1"]
    words += ["root=/dev/vda", "rootfstype=erofs", "ro", "init=/sbin/init"]
    words += kernelOptions
    // Containers are started one after another and wait for grace periods; guests have few CPUs, so
    // hurrying them costs little.
    words.append("rcupdate.rcu_expedited=1")
    // Nothing is a module; see kernel-config/00-base.config.
    words.append("sysctl.kernel.modules_disabled=1")
    // The kernel's dummy driver would make an interface that no pod asked for.
    words.append("dummy.numdummies=0")
    // TCG's translated code is not what the mitigations are for.
    if accelerator == .tcg { words.append("mitigations=off") }
    return words.joined(separator: " ")
  }
}
