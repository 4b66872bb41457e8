import LinuxSystem

@testable import VsockDevice

#if canImport(Glibc)
  import Glibc
#endif

/// A device on a thread of its own, with its two sockets in a directory of its own.
final class DeviceHarness {
  let directory: String
  var vhostPath: String { directory + "/vhost" }
  var clientPath: String { directory + "/vsock" }
  private let thread: Background<Void>

  init(capacity: Int = 4096, patience: Int64 = 60) throws {
    var template = Array("/tmp/bulkhead-vsock-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw SystemError("mkdtemp", errno) }
    directory = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    let vhost = try listenUnix(directory + "/vhost")
    let clients = try listenUnix(directory + "/vsock")
    thread = try Background {
      let configuration = Device.Configuration(
        guestCID: UInt32(SimulatedMachine.cid), capacity: capacity, patience: patience)
      try Device(vhostListener: vhost, clientListener: clients, configuration).serve()
    }
  }

  deinit {
    unlink(vhostPath)
    unlink(clientPath)
    rmdir(directory)
  }

  /// Returns when the device has ended; throws what ended it.
  func finished() throws { try thread.value() }
}

private func listenUnix(_ path: String) throws -> Int32 {
  let kind = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
  let descriptor = try systemCall("socket") { socket(AF_UNIX, kind, 0) }
  var address = sockaddr_un()
  address.sun_family = sa_family_t(AF_UNIX)
  withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8)) }
  try systemCall("bind") {
    withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
  }
  try systemCall("listen") { listen(descriptor, 1024) }
  return descriptor
}
