import Common
import LinuxSystem
import VsockDevice

#if canImport(Glibc)
  import Glibc
#endif

/// One VM's vhost-user-vsock device: prepares as root, then serves with nothing but its sockets.
@main
enum BulkheadVsock {
  static func main() {
    switch Arguments.parse(Array(CommandLine.arguments.dropFirst())) {
    case .help: say(STDOUT_FILENO, Arguments.help)
    case .version: say(STDOUT_FILENO, "bulkhead-vsock \(bulkheadVersion)")
    case .invalid(let reason): fail("\(reason); see --help", status: 2)
    case .run(let arguments):
      do {
        try run(arguments)
      } catch {
        fail("\(error)", status: 1)
      }
    }
  }

  private static func run(_ arguments: Arguments) throws {
    try detachFromParent()
    let capacity = try limitResources(connections: 4096)
    let isRoot = geteuid() == 0
    let vhost = try listen(at: arguments.vhostSocket, owner: isRoot ? (arguments.socketUID, arguments.gid) : nil)
    let clients = try listen(at: arguments.vsockSocket, owner: nil)
    let device = try Device(
      vhostListener: vhost, clientListener: clients, .init(guestCID: arguments.guestCID, capacity: capacity))
    try dropPrivileges(uid: arguments.uid, gid: arguments.gid)
    // Said only now, so that a parent that hears it knows all of the above to be done.
    say(STDOUT_FILENO, "ready")
    try replaceByNull(STDOUT_FILENO)
    try installSystemCallFilter()
    try device.serve()
  }

  private static func fail(_ message: String, status: Int32) -> Never {
    say(STDERR_FILENO, "bulkhead-vsock: \(message)")
    exit(status)
  }

  private static func say(_ descriptor: Int32, _ line: String) {
    let bytes = Array((line + "\n").utf8)
    _ = write(descriptor, bytes, bytes.count)
  }
}
