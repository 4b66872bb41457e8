import CLinux
import Testing
import VsockClient

#if canImport(Glibc)
  import Glibc
#endif

/// The kernel's AF_VSOCK, by its loopback (VMADDR_CID_LOCAL), on hosts that have it.
@Suite struct KernelVsockTests {
  private static let local: UInt32 = 1

  private static func listen() -> (descriptor: Int32, port: UInt32)? {
    let descriptor = socket(AF_VSOCK, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_vm()
    address.svm_family = sa_family_t(AF_VSOCK)
    address.svm_cid = local
    address.svm_port = UInt32.max  // any
    var size = socklen_t(MemoryLayout<sockaddr_vm>.size)
    let isBound = withUnsafeMutablePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(descriptor, $0, size) == 0 && Glibc.listen(descriptor, 4) == 0 && getsockname(descriptor, $0, &size) == 0
      }
    }
    if isBound { return (descriptor, address.svm_port) }
    close(descriptor)
    return nil
  }

  /// Through the kernel's loopback; a kernel without one refuses the call, and that must be said too.
  @Test func reachesAListenerAndHearsOfNone() throws {
    guard let (listener, port) = Self.listen() else {
      #expect(throws: VsockError.self) {
        try KernelVsock.connect(cid: Self.local, port: 1024, timeout: .seconds(2))
      }
      return
    }
    let client = HostClient(try KernelVsock.connect(cid: Self.local, port: port, timeout: .seconds(2)))
    let peer = HostClient(accept(listener, nil, nil))
    try client.write([1, 2])
    #expect(try peer.read(2) == [1, 2])
    client.close()
    peer.close()
    close(listener)
    #expect(throws: VsockError.refused("connection refused by the guest")) {
      try KernelVsock.connect(cid: Self.local, port: port, timeout: .seconds(2))
    }
  }
}
