import LinuxSystem
import VsockClient

#if canImport(Glibc)
  import Glibc
#endif

/// A client's end of a stream, whose calls fail after some seconds rather than hang a test.
struct HostClient: Sendable {
  let descriptor: Int32

  init(_ descriptor: Int32) {
    self.descriptor = descriptor
    var limit = timeval(tv_sec: 10, tv_usec: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
  }

  /// HybridVsock blocks, and the answer must come from the test that dials.
  static func dial(
    _ harness: DeviceHarness, port: UInt32 = 1024, timeout: Duration = .seconds(10)
  ) throws -> Background<HostClient> {
    let path = harness.clientPath
    return try Background { HostClient(try HybridVsock.connect(socketPath: path, port: port, timeout: timeout)) }
  }

  func write(_ bytes: [UInt8]) throws {
    var done = 0
    while done < bytes.count {
      done += try systemCall("send") {
        bytes.withUnsafeBytes { send(descriptor, $0.baseAddress! + done, bytes.count - done, Int32(MSG_NOSIGNAL)) }
      }
    }
  }

  func read(_ count: Int) throws -> [UInt8] { try readExactly(count, from: descriptor) }

  func readToEnd() throws -> [UInt8] {
    var all: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 64 << 10)
    while true {
      let count = try systemCall("read") { Glibc.read(descriptor, &buffer, buffer.count) }
      if count == 0 { return all }
      all += buffer.prefix(count)
    }
  }

  func finishWriting() { shutdown(descriptor, Int32(SHUT_WR)) }
  func close() { Glibc.close(descriptor) }
}
