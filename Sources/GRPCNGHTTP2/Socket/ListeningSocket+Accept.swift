import CLinux
import Glibc

extension ListeningSocket {
  enum Accepted {
    case connection(StreamSocket, peer: String)
    /// Somebody who may not connect, or who is gone again.
    case refused
    case none
    /// No descriptors or memory left for now.
    case exhausted
  }

  func accept() -> Accepted {
    var address = sockaddr_storage()
    var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
    let accepted = withUnsafeMutablePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bh_accept4(descriptor, $0, &length, Int32(SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue))
      }
    }
    guard accepted >= 0 else {
      switch errno {
      case EAGAIN: return .none
      case EMFILE, ENFILE, ENOMEM, ENOBUFS: return .exhausted
      default: return .refused
      }
    }
    guard let socket = try? StreamSocket(owning: accepted) else { return .refused }
    guard Int32(address.ss_family) == AF_VSOCK else { return .connection(socket, peer: "unix:") }
    let vsock = withUnsafeBytes(of: &address) { $0.loadUnaligned(as: sockaddr_vm.self) }
    if let acceptedCIDs, !acceptedCIDs.contains(vsock.svm_cid) { return .refused }
    return .connection(socket, peer: "vsock:\(vsock.svm_cid):\(vsock.svm_port)")
  }
}
