import Common
import Hypervisor
import LinuxSystem
import Synchronization
import VsockClient

#if canImport(Glibc)
  import Glibc
#endif

/// A machine that runs, or ran. What can change of it is its record, guarded by `state`; devices are
/// plugged in one at a time, under `plugging`.
final class LibvirtMachine: VirtualMachine {
  let id: MachineID
  let displayName: String
  let directory: MachineDirectory
  let exitSignal = MachineExitSignal()

  private let domain: LibvirtDomain
  private let qemu: ProcessIdentity?
  private let environment: Environment
  private let state: Mutex<MachineRecord>
  /// Held by a thread of its own while it plugs a device in, never by a task.
  private let plugging = Mutex(())

  /// What a machine uses of the hypervisor that runs it.
  struct Environment: Sendable {
    var records: MachineRecords
    var watcher: ProcessWatcher
    var virtiofsd: String
  }

  init(
    record: MachineRecord, id: MachineID, domain: LibvirtDomain, qemuPID: Int32?, directory: MachineDirectory,
    environment: Environment
  ) {
    self.id = id
    self.displayName = record.displayName
    self.domain = domain
    self.qemu = qemuPID.flatMap(ProcessIdentity.init(pid:))
    self.directory = directory
    self.environment = environment
    self.state = Mutex(record)
  }

  /// Begins to watch the machine's processes. A machine whose QEMU has gone already ends at once.
  func watch() throws {
    if case .device(let device?) = state.withLock({ $0.vsock }) { try environment.watcher.watch(device.pid) {} }
    if let server = state.withLock({ $0.share?.server }) { try watch(server) }
    guard let qemu else {
      exitSignal.handle(.processEnded)
      exitSignal.handle(.reasonOverdue)
      return
    }
    try environment.watcher.watch(qemu.pid) { [exitSignal] in
      exitSignal.handle(.processEnded)
      Task {
        // libvirt's word on why comes at about the same time.
        try? await Task.sleep(for: .milliseconds(500))
        exitSignal.handle(.reasonOverdue)
      }
    }
  }

  func dial(port: UInt32, within limit: Duration) async throws -> Int32 {
    let vsock = state.withLock { $0.vsock }
    if exitSignal.exit != nil { throw BulkheadError(.unavailable, "the virtual machine of \(displayName) has stopped") }
    let path = directory.vsockSocket
    do {
      return try await onDedicatedThread {
        switch vsock {
        case .kernel(let cid): try KernelVsock.connect(cid: cid, port: port, timeout: limit)
        case .device: try HybridVsock.connect(socketPath: path, port: port, timeout: limit)
        }
      }
    } catch {
      throw BulkheadError(
        .unavailable, "port \(port) of the virtual machine of \(displayName) cannot be reached", cause: error)
    }
  }

  func attach(_ disk: MachineDisk) async throws {
    try disk.check()
    try await plug("plugging disk \(disk.serial) into \(displayName)") { machine in
      let unit = try machine.add(disk)
      do {
        let prepared = try machine.preparation.prepare(disk, unit: unit)
        try machine.domain.attach(prepared.element.rendered())
      } catch {
        try machine.drop(disk)
        throw error
      }
    }
  }

  func attach(_ share: MachineShare) async throws {
    try share.check()
    try await plug("plugging share \(share.tag) into \(displayName)") { try $0.plug(share) }
  }

  func destroy() async throws {
    exitSignal.handle(.destroyRequested)
    try await onThread(within: Self.destroyTimeout, "ending the virtual machine of \(displayName)") { [self] _ in
      try end()
    }
    _ = await exitSignal.wait()
  }

  func waitUntilStopped() async -> MachineExit? { await exitSignal.wait() }

  func status() async throws -> MachineStatus {
    let record = state.withLock { $0 }
    var vsockDevice: Int32?
    if case .device(let device?) = record.vsock, device.isRunning { vsockDevice = device.pid }
    let running = qemu.flatMap { $0.isRunning ? $0.pid : nil }
    var status = MachineStatus(
      accelerator: record.accelerator, qemuPID: running, vsockDevicePID: vsockDevice, vcpus: record.vcpus,
      memory: ByteCount(bytes: record.memoryBytes),
      qemuResident: running.map(ProcessIdentity.residentMemory) ?? ByteCount(bytes: 0), disks: record.machineDisks,
      consolePath: directory.console)
    if let server = record.share?.server, server.isRunning { status.shareServerPID = server.pid }
    return status
  }

  /// Blocks until libvirt, too, knows the machine to be gone.
  func end() throws {
    if let qemu { MachineKill(process: qemu).run() }
    try domain.destroy()
  }

  private static let destroyTimeout = Duration.seconds(30)
  private static let plugTimeout = Duration.seconds(30)

  // MARK: - Plugging

  private var preparation: DiskPreparation {
    let (uid, gid) = state.withLock { ($0.uid, $0.gid) }
    return DiskPreparation(directory: directory, uid: uid, gid: gid)
  }

  private func plug(_ doing: String, _ body: @escaping @Sendable (LibvirtMachine) throws -> Void) async throws {
    if exitSignal.exit != nil { throw BulkheadError(.failedPrecondition, "\(doing): it has stopped") }
    do {
      try await onThread(within: Self.plugTimeout, doing) { [self] abandonment in
        try plugging.withLock { _ in
          if abandonment.isAbandoned { return }
          try body(self)
        }
      }
    } catch {
      throw withConsole(BulkheadError.wrapping(error, doing))
    }
  }

  private func plug(_ share: MachineShare) throws {
    if let known = state.withLock({ $0.share }) {
      guard known.tag == share.tag, known.directory == share.directory else {
        throw BulkheadError(.failedPrecondition, "\(displayName) has a share already, and room for one")
      }
      if known.plugged { return }
      // A former daemon was killed while it plugged it in.
      if try domain.hasShare(tag: share.tag) { return try change { $0.share?.plugged = true } }
      for server in known.server.map({ [$0] }) ?? ShareServer.running(sharing: known.directory) {
        server.signal(SIGKILL)
      }
    }
    try change { $0.share = MachineRecord.Share(tag: share.tag, directory: share.directory) }
    var server: ProcessIdentity?
    do {
      let started = try ShareServer.start(
        program: environment.virtiofsd, sharing: share.directory, at: directory.shareSocket,
        owner: state.withLock { ($0.uid, $0.gid) })
      server = started
      try change { $0.share?.server = started }
      try domain.attach(DomainShare(tag: share.tag, socketPath: directory.shareSocket).element.rendered())
      try change { $0.share?.plugged = true }
      try watch(started)
    } catch {
      server?.signal(SIGKILL)
      try change { $0.share = nil }
      throw error
    }
  }

  /// A guest whose virtiofsd has gone waits for it and can't be talked out of it.
  private func watch(_ server: ProcessIdentity) throws {
    try environment.watcher.watch(server.pid) { [weak self] in
      Task {
        // It ends with QEMU, too, and is then only faster to be seen.
        try? await Task.sleep(for: .milliseconds(200))
        guard let self, let qemu = self.qemu, qemu.isRunning else { return }
        self.exitSignal.handle(.shareServerEnded)
        qemu.signal(SIGKILL)
      }
    }
  }

  /// Takes a unit for the disk, on disk before anything else is done for it.
  private func add(_ disk: MachineDisk) throws -> Int {
    try change { record in
      guard !record.disks.contains(where: { $0.serial == disk.serial }) else {
        throw BulkheadError(.alreadyExists, "\(displayName) has a disk \(disk.serial) already")
      }
      let unit = record.freeUnit
      record.disks.append(MachineRecord.Disk(disk, unit: unit))
      return unit
    }
  }

  private func drop(_ disk: MachineDisk) throws {
    let others = state.withLock { $0.machineDisks.filter { $0.serial != disk.serial } }
    try preparation.withdraw(disk, others: others)
    try change { $0.disks.removeAll { $0.serial == disk.serial } }
  }

  /// Only under `plugging`, so that what is saved last is what was changed last.
  private func change<Result>(_ body: (inout MachineRecord) throws -> Result) throws -> Result {
    var record = state.withLock { $0 }
    let result = try body(&record)
    try environment.records.save(record)
    state.withLock { [record] in $0 = record }
    return result
  }

  func withConsole(_ error: BulkheadError) -> BulkheadError {
    error.addingConsole(ConsoleLog(path: directory.console))
  }
}

extension BulkheadError {
  /// With what the guest said last, so that the reader need not look for it.
  func addingConsole(_ console: ConsoleLog) -> BulkheadError {
    let lines = console.lastLines(8)
    guard !lines.isEmpty else { return self }
    return BulkheadError(code, "\(message); the console's last lines: \(lines.joined(separator: " | "))", cause: cause)
  }
}

/// The number in a pid file; nil if there is none.
func readPID(_ path: String) -> Int32? {
  guard let bytes = try? readFile(path, limit: 32) else { return nil }
  return Int32(String(decoding: bytes.prefix { $0 >= 0x30 && $0 <= 0x39 }, as: UTF8.self))
}
