import Common
import Hypervisor
import LinuxSystem

#if canImport(Glibc)
  import Glibc
#endif

/// Removes all that a machine, no longer running, has left on the host. Every step can be repeated
/// after any failure; the record, from which the steps are known, goes last. Blocks.
struct MachineRelease {
  let configuration: LibvirtConfiguration
  let records: MachineRecords

  func run(_ id: MachineID) throws {
    let directory = MachineDirectory(runDirectory: configuration.runDirectory, id: id)
    if let record = try records.load(id) {
      if case .device(let device) = record.vsock {
        for process in device.map({ [$0] }) ?? unrecordedDevices(directory) { try end(process, "vsock device") }
      }
      if let share = record.share {
        for process in share.server.map({ [$0] }) ?? ShareServer.running(sharing: share.directory) {
          try end(process, "virtiofsd")
        }
      }
      let preparation = DiskPreparation(directory: directory, uid: record.uid, gid: record.gid)
      for disk in record.machineDisks { try preparation.withdraw(disk) }
    }
    try directory.remove()
    switch configuration.connection {
    case .embedded(let root): try removeFile(EmbedRoot(path: root).logFile(domain: id.text))
    case .system: try TapLoan.removeLeft(of: id)
    }
    try records.remove(id)
  }

  /// The vsock device of a daemon that was killed before it had written down which process that is: known
  /// by the path of its socket, which is this machine's alone.
  private func unrecordedDevices(_ directory: MachineDirectory) -> [ProcessIdentity] {
    let argument = Array(directory.vsockSocket.utf8)[...]
    return ProcessIdentity.running { arguments in
      arguments.first.map { String(decoding: $0, as: UTF8.self) } == configuration.vsockDevice
        && arguments.contains(argument)
    }
  }

  private func end(_ process: ProcessIdentity, _ what: String) throws {
    guard process.signal(SIGKILL) else { return }
    for _ in 0..<400 {
      // Ours to reap, unless an earlier daemon started it.
      waitpid(process.pid, nil, WNOHANG)
      if !process.isRunning { return }
      usleep(5000)
    }
    throw BulkheadError(.deadlineExceeded, "the \(what) (process \(process.pid)) does not end")
  }
}
