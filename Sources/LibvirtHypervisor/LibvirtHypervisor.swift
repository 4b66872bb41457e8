import CLinux
import Common
import Hypervisor
import LinuxSystem
import Synchronization
import VsockClient

#if canImport(Glibc)
  import Glibc
#endif

/// Machines by libvirt. One a process and configuration; it lives as long as the process, while its
/// machines outlive it.
public final class LibvirtHypervisor: Hypervisor {
  public let acceleration: Acceleration

  let configuration: LibvirtConfiguration
  let platform = GuestPlatform.x86_64
  let connection: LibvirtConnection
  let records: MachineRecords
  /// As every machine's QEMU can read them.
  let kernel: String
  let bootImage: String
  let environment: LibvirtMachine.Environment
  /// Where libvirt keeps the process ids of QEMU.
  private let runtimeDirectory: String
  private let machines: MachineTable
  private let warmingUp = Mutex<Task<Void, any Error>?>(nil)

  /// Prepares directories, chooses the accelerator and opens libvirt. Machines that run from before are
  /// found with `running` and `find`. Throws `failedPrecondition`, with what to do, if a file, a user or
  /// an accelerator that is asked for is missing.
  public static func open(_ configuration: LibvirtConfiguration) async throws -> LibvirtHypervisor {
    let hypervisor = try await onDedicatedThread { try LibvirtHypervisor(configuration) }
    Task { [weak hypervisor] in
      while let machines = hypervisor?.machines {
        await machines.trimConsoles()
        try? await Task.sleep(for: .seconds(2))
      }
    }
    return hypervisor
  }

  private init(_ configuration: LibvirtConfiguration) throws {
    self.configuration = configuration
    guard access(configuration.emulator, X_OK) == 0 else {
      throw BulkheadError(
        .failedPrecondition, "\(configuration.emulator) is missing; run: apt-get install -y qemu-system-x86")
    }
    // QEMU and virtiofsd, orphaned by libvirt, become this process's children to reap.
    try systemCall("prctl") { bh_set_child_subreaper() }
    records = MachineRecords(directory: configuration.stateDirectory + "/machines")
    try makeDirectory(configuration.stateDirectory, mode: 0o711)
    try records.prepare()
    try makeDirectory(configuration.runDirectory, mode: 0o711)
    let shared = configuration.runDirectory + "/shared"
    try makeDirectory(shared, mode: 0o711)
    kernel = try GuestFile.readable(configuration.kernel, "the guest's kernel", copyIn: shared)
    bootImage = try GuestFile.readable(configuration.bootImage, "the guest's boot image", copyIn: shared)
    try GuestFile.removeCopies(in: shared, except: [kernel, bootImage])
    acceleration = try AcceleratorProbe(emulator: configuration.emulator, directory: shared)
      .choose(configuration.accelerator, because: configuration.acceleratorReason)
    let machines = MachineTable()
    self.machines = machines
    let uri: String
    switch configuration.connection {
    case .embedded(let path):
      let root = try EmbedRoot(path: path)
      try root.prepare()
      uri = root.uri
      runtimeDirectory = path + "/run/qemu"
    case .system:
      uri = "qemu:///system"
      runtimeDirectory = "/run/libvirt/qemu"
    }
    connection = try LibvirtConnection(uri: uri) { name, reason in
      guard let id = MachineID(name) else { return }
      machines[id]?.exitSignal.handle(.stopReported(reason))
    }
    environment = LibvirtMachine.Environment(
      records: records, watcher: try ProcessWatcher(), virtiofsd: configuration.virtiofsd)
  }

  /// Does what libvirt needs done once, so that the first machine doesn't have to wait for it: for set-up,
  /// and for the daemon as it comes up. 0.2 s, and half a second more the first time after an
  /// installation; nothing when done before. `start` does it if it has not been.
  public func warmUp() async throws {
    let task = warmingUp.withLock { running -> Task<Void, any Error> in
      if let running { return running }
      let task = Task { try await WarmUp(hypervisor: self).run() }
      running = task
      return task
    }
    do {
      try await task.value
    } catch {
      // To be tried again.
      warmingUp.withLock { if $0 == task { $0 = nil } }
      throw error
    }
  }

  public func start(_ description: MachineDescription) async throws -> any VirtualMachine {
    try description.check(configuration)
    try await warmUp()
    let doing = "starting the virtual machine of \(description.displayName)"
    guard try await find(description.id) == nil else {
      throw BulkheadError(.alreadyExists, "\(doing): it runs already")
    }
    do {
      let machine = try await onThread(within: .seconds(60), doing) { [self] abandonment in
        let machine = try MachineStart(hypervisor: self, description: description).run()
        if abandonment.isAbandoned { try machine.end() }
        return machine
      }
      return try machines.add(machine)
    } catch {
      let directory = MachineDirectory(runDirectory: configuration.runDirectory, id: description.id)
      let cause = BulkheadError.wrapping(error, "starting it").addingConsole(ConsoleLog(path: directory.console))
      // What cannot be released now is released with the pod, whose journal names the machine.
      try? await release(description.id)
      throw BulkheadError(cause.code, doing, cause: cause)
    }
  }

  public func find(_ id: MachineID) async throws -> (any VirtualMachine)? {
    if let known = machines[id], known.exitSignal.exit == nil { return known }
    let found = try await onThread(within: .seconds(30), "looking for machine \(id)") { [self] _ -> LibvirtMachine? in
      guard mayHaveDomain(id), let domain = try connection.find(id.text), let record = try records.load(id)
      else { return nil }
      return machine(record, id: id, domain: domain)
    }
    guard let found else { return nil }
    return try machines.add(found)
  }

  private func mayHaveDomain(_ id: MachineID) -> Bool {
    switch configuration.connection {
    // Asked for a domain whose start was cut off, it waits half a minute for a QEMU that isn't there.
    case .embedded: ProcessIdentity.hasQEMU(id)
    // Goes on with a start whose client has gone, before there is a QEMU.
    case .system: true
    }
  }

  public func running() async throws -> [MachineID] {
    try await onThread(within: .seconds(30), "listing machines") { [records] _ in
      try records.all().filter(ProcessIdentity.hasQEMU)
    }
  }

  public func release(_ id: MachineID) async throws {
    if let machine = try await find(id) { try await machine.destroy() }
    machines.remove(id)
    try await onThread(within: .seconds(30), "releasing machine \(id)") { [self] _ in
      try MachineRelease(configuration: configuration, records: records).run(id)
    }
  }

  /// A running domain as a machine, whoever started it.
  func machine(_ record: MachineRecord, id: MachineID, domain: LibvirtDomain) -> LibvirtMachine {
    LibvirtMachine(
      record: record, id: id, domain: domain,
      qemuPID: qemuPID(domain: id.text),
      directory: MachineDirectory(runDirectory: configuration.runDirectory, id: id), environment: environment)
  }

  func qemuPID(domain name: String) -> Int32? { readPID("\(runtimeDirectory)/\(name).pid") }
}

/// The machines that this process knows to have run.
final class MachineTable: Sendable {
  private let machines = Mutex<[MachineID: LibvirtMachine]>([:])

  subscript(id: MachineID) -> LibvirtMachine? { machines.withLock { $0[id] } }

  /// Begins to watch `machine`, or returns the one that another task has added meanwhile.
  func add(_ machine: LibvirtMachine) throws -> LibvirtMachine {
    let other = machines.withLock { machines -> LibvirtMachine? in
      if let other = machines[machine.id], other.exitSignal.exit == nil { return other }
      machines[machine.id] = machine
      return nil
    }
    if let other { return other }
    try machine.watch()
    return machine
  }

  func remove(_ id: MachineID) { _ = machines.withLock { $0.removeValue(forKey: id) } }

  /// Keeps what guests write within bounds.
  func trimConsoles() async {
    let consoles = machines.withLock { $0.values.map { ConsoleLog(path: $0.directory.console) } }
    if consoles.isEmpty { return }
    // A console that cannot be cut is bounded by its file system.
    try? await onDedicatedThread { for console in consoles { try? console.trim() } }
  }
}
