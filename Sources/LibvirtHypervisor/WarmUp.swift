import Common
import LinuxSystem

#if canImport(Glibc)
  import Glibc
#endif

/// What libvirt does once in a process's life, or once in an installation's, done before the first
/// machine has to wait for it.
struct WarmUp {
  let hypervisor: LibvirtHypervisor

  func run() async throws {
    let configuration = hypervisor.configuration
    // On a thread of its own: it does not see /dev/kvm afterwards.
    try await onThread(within: .seconds(60), "probing \(configuration.emulator)") { [hypervisor] _ in
      let standIn = configuration.runDirectory + "/shared/no-kvm"
      try hypervisor.connection.probe(
        emulator: configuration.emulator, platform: hypervisor.platform,
        hiddenKVM: hypervisor.acceleration.accelerator == .tcg ? HiddenKVM(standIn: standIn) : nil)
    }
    guard case .embedded(let root) = configuration.connection else { return }
    try await onThread(within: .seconds(60), "starting QEMU for the first time") { _ in
      try startFirstDomain(EmbedRoot(path: root))
    }
  }

  /// libvirt handles what happens to machines on one thread, which it makes for the first event of the
  /// first machine, and which stays in the network namespace that this machine was started in: the
  /// namespace would never end. So the first machine is one of the host's, which is killed before it
  /// has run an instruction. A node that cannot start QEMU at all is found out here, too.
  private func startFirstDomain(_ root: EmbedRoot) throws {
    let name = "bulkhead-first"
    let description = XMLTag(
      "domain", ["type": "qemu", "xmlns:qemu": "http://libvirt.org/schemas/domain/qemu/1.0"],
      [
        XMLTag("name", text: name),
        XMLTag("memory", ["unit": "MiB"], text: "16"),
        XMLTag(
          "os",
          [
            XMLTag(
              "type", ["arch": hypervisor.platform.architecture, "machine": hypervisor.platform.machine], text: "hvm")
          ]),
        XMLTag(
          "devices",
          [
            XMLTag("emulator", text: hypervisor.configuration.emulator),
            XMLTag("controller", ["type": "usb", "model": "none"]), XMLTag("memballoon", ["model": "none"]),
          ]),
        XMLTag("qemu:capabilities", [XMLTag("qemu:del", ["capability": "cpu-unavailable-features"])]),
      ])
    let connection = hypervisor.connection
    // One that an earlier daemon, killed here, has left.
    try connection.find(name)?.destroy()
    let domain = try connection.create(try description.rendered(), paused: true)
    guard let qemu = hypervisor.qemuPID(domain: name), kill(qemu, SIGKILL) == 0 else {
      try domain.destroy()
      throw BulkheadError(.unavailable, "QEMU did not stay after libvirt had started it")
    }
    try OrphanReaper.reaping {
      for _ in 0..<1000 {
        if try connection.find(name) == nil { return }
        usleep(2000)
      }
      throw BulkheadError(.deadlineExceeded, "libvirt does not notice that QEMU has ended")
    }
    try removeFile(root.logFile(domain: name))
  }
}
