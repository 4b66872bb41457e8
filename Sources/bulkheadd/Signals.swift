import Dispatch
import Foundation
import Logging

/// Returns when SIGTERM or SIGINT comes in, with its name.
func terminationSignal() async -> String {
  let (signals, feed) = AsyncStream.makeStream(of: String.self)
  let sources = [(SIGTERM, "SIGTERM"), (SIGINT, "SIGINT")].map { number, name in
    signal(number, SIG_IGN)
    let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
    source.setEventHandler { feed.yield(name) }
    source.resume()
    return source
  }
  defer { for source in sources { source.cancel() } }
  for await name in signals { return name }
  return "cancelled"
}

/// Tells systemd how the daemon is (sd_notify(3)); does nothing where systemd did not ask.
func notifyServiceManager(_ state: String) {
  guard let path = ProcessInfo.processInfo.environment["NOTIFY_SOCKET"], !path.isEmpty else { return }
  let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
  guard descriptor >= 0 else { return }
  defer { close(descriptor) }
  var address = sockaddr_un()
  address.sun_family = sa_family_t(AF_UNIX)
  var name = Array(path.utf8)
  // A leading @ stands for the abstract namespace.
  if name.first == UInt8(ascii: "@") { name[0] = 0 }
  guard name.count < MemoryLayout.size(ofValue: address.sun_path) else { return }
  withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: name) }
  let length = socklen_t(MemoryLayout<sa_family_t>.size + name.count)
  _ = withUnsafePointer(to: &address) {
    $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { sendto(descriptor, state, state.utf8.count, 0, $0, length) }
  }
}
