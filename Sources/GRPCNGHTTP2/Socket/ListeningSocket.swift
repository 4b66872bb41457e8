import CLinux
import Glibc
import LinuxSystem

/// A socket that listens. Closed, and its path removed, with `close`.
struct ListeningSocket: Sendable {
  let descriptor: Int32
  let path: BoundPath?
  let acceptedCIDs: Set<UInt32>?
  let name: String

  /// A socket file that we made: removed only while it is still the same file.
  struct BoundPath: Sendable {
    let path: String
    let device: UInt
    let inode: UInt
  }

  private static let backlog: Int32 = 128

  init(_ listener: Listener) throws {
    switch listener {
    case .unix(let path, let mode): self = try .unix(path, mode)
    case .vsock(let port, let cids): self = try .vsock(port, cids)
    case .descriptor(let descriptor):
      let flags = try systemCall("fcntl") { fcntl(descriptor, F_GETFL) }
      try systemCall("fcntl") { fcntl(descriptor, F_SETFL, flags | O_NONBLOCK) }
      self.init(descriptor: descriptor, path: nil, acceptedCIDs: nil, name: "fd:\(descriptor)")
    }
  }

  private init(descriptor: Int32, path: BoundPath?, acceptedCIDs: Set<UInt32>?, name: String) {
    self.descriptor = descriptor
    self.path = path
    self.acceptedCIDs = acceptedCIDs
    self.name = name
  }

  func close() {
    _ = Glibc.close(descriptor)
    var status = stat()
    if let path, lstat(path.path, &status) == 0, status.st_ino == path.inode, status.st_dev == path.device {
      unlink(path.path)
    }
  }

  /// The socket has its permissions before it has its name (Linux makes the file with the mode of the
  /// socket), so that nobody else can ever connect.
  private static func unix(_ path: String, _ mode: UInt32) throws -> ListeningSocket {
    try removeStale(path)
    let descriptor = try UnixAddress.makeSocket(AF_UNIX)
    var isBound = false
    do {
      try systemCall("fchmod", subject: path) { fchmod(descriptor, mode) }
      try UnixAddress.withAddress(path) { address, length in
        _ = try systemCall("bind", subject: path) { bind(descriptor, address, length) }
      }
      isBound = true
      var status = stat()
      try systemCall("stat", subject: path) { lstat(path, &status) }
      let bound = BoundPath(path: path, device: status.st_dev, inode: status.st_ino)
      // What the umask took away.
      try systemCall("chmod", subject: path) { chmod(path, mode) }
      try systemCall("listen", subject: path) { listen(descriptor, backlog) }
      return ListeningSocket(descriptor: descriptor, path: bound, acceptedCIDs: nil, name: "unix:\(path)")
    } catch {
      if isBound { unlink(path) }
      _ = Glibc.close(descriptor)
      throw error
    }
  }

  private static func removeStale(_ path: String) throws {
    var status = stat()
    guard lstat(path, &status) == 0 else { return }
    guard status.st_mode & S_IFMT == S_IFSOCK else {
      throw AddressInUse(
        path: path, reason: "there is a file that is not a socket; remove it or configure another path")
    }
    do {
      _ = Glibc.close(try UnixAddress.connect(path))
    } catch let error as SystemError where error.number == ECONNREFUSED {
      try systemCall("unlink", subject: path) { unlink(path) }
      return
    } catch let error as SystemError where error.number == EAGAIN {
      // Its backlog is full: somebody listens.
    }
    throw AddressInUse(path: path, reason: "another process listens on it; stop it or configure another path")
  }

  private static func vsock(_ port: UInt32, _ cids: Set<UInt32>) throws -> ListeningSocket {
    let descriptor = try UnixAddress.makeSocket(AF_VSOCK)
    do {
      var address = sockaddr_vm()
      address.svm_family = sa_family_t(AF_VSOCK)
      address.svm_port = port
      address.svm_cid = UInt32.max  // VMADDR_CID_ANY
      try withUnsafePointer(to: &address) {
        try $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
          _ = try systemCall("bind", subject: "vsock port \(port)") {
            bind(descriptor, address, socklen_t(MemoryLayout<sockaddr_vm>.size))
          }
        }
      }
      try systemCall("listen", subject: "vsock port \(port)") { listen(descriptor, backlog) }
      return ListeningSocket(descriptor: descriptor, path: nil, acceptedCIDs: cids, name: "vsock:\(port)")
    } catch {
      _ = Glibc.close(descriptor)
      throw error
    }
  }
}
