import CLinux
import Common
import Hypervisor
import LinuxSystem
import VsockClient

#if canImport(Glibc)
  import Glibc
#endif

/// The steps of starting a machine, in order, on a thread that is theirs alone: it ends in the pod's
/// network namespace. What an error leaves behind, `MachineRelease` removes.
struct MachineStart {
  let hypervisor: LibvirtHypervisor
  let description: MachineDescription

  private var id: MachineID { description.id }
  private var configuration: LibvirtConfiguration { hypervisor.configuration }

  func run() throws -> LibvirtMachine {
    let directory = MachineDirectory(runDirectory: configuration.runDirectory, id: id)
    var record = newRecord()
    try hypervisor.records.save(record)
    try directory.create()
    let user = try qemuUser()
    try ConsoleLog(path: directory.console).create()
    try replaceFile(directory.secret, Array(description.secret.utf8), mode: 0o400, owner: user)
    let preparation = DiskPreparation(directory: directory, uid: user.uid, gid: user.gid)
    let disks = try description.disks.enumerated().map { try preparation.prepare($1, unit: $0) }
    if case .device = record.vsock {
      let device = try VsockDeviceProcess.start(
        program: configuration.vsockDevice, directory: directory, uid: user.uid, gid: user.gid)
      record.vsock = .device(device)
      try hypervisor.records.save(record)
    }
    let domain = try startInNetworkNamespace { interfaces in
      try hypervisor.connection.create(try self.domain(record, directory, disks, interfaces, user).xml())
    }
    return hypervisor.machine(record, id: id, domain: domain)
  }

  /// Runs `start`, which starts QEMU, with the machine's interfaces by the names that they are to be opened by. The
  /// embedded libvirt starts QEMU from the calling thread, and so in its namespace; the node's own in the node's.
  private func startInNetworkNamespace(
    _ start: ([MachineInterface]) throws -> LibvirtDomain
  ) throws -> LibvirtDomain {
    guard let namespace = description.networkNamespace else { return try start(description.interfaces) }
    switch configuration.connection {
    case .embedded:
      try enterNetworkNamespace(namespace)
      return try start(description.interfaces)
    case .system:
      let loan = TapLoan(id: id, interfaces: description.interfaces, namespace: namespace)
      return try loan.whileLent(start) { try $0.destroy() }
    }
  }

  private func newRecord() -> MachineRecord {
    MachineRecord(
      id: id.text, displayName: description.displayName, uid: description.uid, gid: description.gid,
      vcpus: description.vcpus, memoryBytes: description.memory.bytes,
      accelerator: hypervisor.acceleration.accelerator,
      // Of two billion; QEMU fails to start should another machine of the host have it.
      vsock: KernelVsock.isAvailable ? .kernel(cid: UInt32.random(in: 0x1000..<0x7fff_ffff)) : .device(nil),
      disks: description.disks.enumerated().map { MachineRecord.Disk($1, unit: $0) })
  }

  /// The machine's own user, with /dev/kvm's group where that is what opens it.
  private func qemuUser() throws(BulkheadError) -> (uid: UInt32, gid: UInt32) {
    guard hypervisor.acceleration.accelerator == .kvm else { return (description.uid, description.gid) }
    guard let group = AcceleratorProbe.kvmGroup() else {
      throw BulkheadError(.failedPrecondition, "/dev/kvm is no longer open to a group (mode 0660, group kvm)")
    }
    return (description.uid, group)
  }

  private func domain(
    _ record: MachineRecord, _ directory: MachineDirectory, _ disks: [DomainDisk],
    _ interfaces: [MachineInterface], _ user: (uid: UInt32, gid: UInt32)
  ) -> Domain {
    let vsock: Domain.Vsock =
      switch record.vsock {
      case .kernel(let cid): .kernel(cid: cid)
      case .device: .device(socketPath: directory.vhostSocket)
      }
    return Domain(
      id: id, title: printable(description.displayName), platform: hypervisor.platform,
      accelerator: record.accelerator, emulator: configuration.emulator, vcpus: description.vcpus,
      memory: description.memory, uid: user.uid, gid: user.gid, kernel: hypervisor.kernel,
      bootImage: hypervisor.bootImage, consolePath: directory.console, secretPath: directory.secret, vsock: vsock,
      disks: disks, interfaces: interfaces)
  }

  private func enterNetworkNamespace(_ path: String) throws {
    let namespace = open(path, O_RDONLY | O_CLOEXEC)
    guard namespace >= 0 else {
      throw BulkheadError(
        .notFound, "the network namespace cannot be opened", cause: SystemError("open", errno, subject: printable(path))
      )
    }
    defer { close(namespace) }
    try systemCall("setns", subject: path) { bh_setns(namespace, bh_CLONE_NEWNET) }
  }
}
