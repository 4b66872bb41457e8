import AgentProtocol
import ContainerInit
import Glibc
import LinuxSystem

/// Answers the daemon's questions about what the pod uses, each one byte: 2 for details of processes, else 1.
///
/// Stats of many pods are asked for at once, so each guest should do little for them: a stream that stays, on a thread
/// of its own that makes nothing but system calls, costs an emulated guest a third of what a call does.
struct StatsServer: Sendable {
  let pod: Pod

  /// Returns when the daemon has ended the stream, and closes it. `told` runs before the first question is heard.
  func serve(_ stream: AsyncDescriptor, told: () async throws -> Void) async throws {
    do { try await told() } catch { return stream.close() }
    let descriptor = Descriptor(owning: stream.detach())
    try await onDedicatedThread {
      let number = descriptor.number
      try systemCall("fcntl") { fcntl(number, F_SETFL, fcntl(number, F_GETFL) & ~O_NONBLOCK) }
      var question: UInt8 = 0
      while try systemCall("recv", { recv(number, &question, 1, 0) }) == 1 {
        try answer(number, withDetails: question == 2)
      }
    }
  }

  private func answer(_ descriptor: Int32, withDetails: Bool) throws {
    let message = try pod.stats(withDetails: withDetails)
    let answer = withUnsafeBytes(of: UInt32(message.count).bigEndian) { Array($0) } + message
    var rest = answer[...]
    while !rest.isEmpty {
      let count = try systemCall("send") {
        rest.withUnsafeBytes { send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
      }
      rest = rest.dropFirst(count)
    }
  }
}
