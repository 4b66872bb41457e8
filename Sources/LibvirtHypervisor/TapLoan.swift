import CLinux
import Common
import Hypervisor
import LinuxSystem
import Netlink

#if canImport(Glibc)
  import Glibc
#endif

/// The node's own libvirtd opens taps in the node's network namespace. So a machine's taps are lent to that namespace
/// while QEMU is started, under names that no other machine's have: once QEMU has a tap open, it stays QEMU's wherever
/// it is moved. Calls block, and must be made from a thread in the node's namespace, where they leave it; on error the
/// thread may be in the pod's.
struct TapLoan {
  let id: MachineID
  let interfaces: [MachineInterface]
  /// The pod's, where the taps belong.
  let namespace: String

  /// At most 15 bytes (IFNAMSIZ in if.h); 44 random bits.
  static func name(_ number: Int, of id: MachineID) -> String { "bh\(id.text.prefix(11))-\(number)" }

  /// Runs `start` with the interfaces as they are to be found in the node's namespace, and gives them back. If that
  /// can't be, `undo` gets what `start` returned. After an error no tap is left in the node's namespace.
  func whileLent<Started>(
    _ start: ([MachineInterface]) throws -> Started, undo: (Started) throws -> Void
  ) throws -> Started {
    if interfaces.isEmpty { return try start([]) }
    let node = try open("/proc/thread-self/ns/net")
    defer { close(node) }
    let pod = try open(namespace)
    defer { close(pod) }
    var lent = interfaces
    for number in lent.indices { lent[number].tap = Self.name(number, of: id) }
    do {
      try move(zip(interfaces, lent).map { ($0.tap, $1.tap) }, from: pod, to: node)
      let started = try start(lent)
      do {
        try move(zip(interfaces, lent).map { ($1.tap, $0.tap) }, from: node, to: pod)
        try enter(node)
      } catch {
        try undo(started)
        throw error
      }
      return started
    } catch {
      // Not left to the machine's release, which may have come already if this start was given up.
      try enter(node)
      try Self.removeLeft(of: id)
      throw error
    }
  }

  /// Removes taps that were not given back. The calling thread must be in the node's namespace.
  static func removeLeft(of id: MachineID) throws(SystemError) {
    var socket = try NetlinkSocket()
    let names = Set((0..<MachineDescription.maximumInterfaces).map { name($0, of: id) })
    for link in try socket.links() where names.contains(link.name) { try socket.remove(link: link.index) }
  }

  /// Moves taps, by their old and new names, and the calling thread with them.
  private func move(_ names: [(old: String, new: String)], from: Int32, to: Int32) throws {
    try enter(from)
    var socket = try NetlinkSocket()
    let links = try socket.links()
    for (old, new) in names {
      guard let link = links.first(where: { $0.name == old }) else {
        throw BulkheadError(.internalError, "the tap \(old) of machine \(id) is not where it should be")
      }
      try socket.move(link: link.index, to: to, as: new)
    }
    try enter(to)
    for (_, new) in names { try disableIPv6(link: new) }
  }

  private func enter(_ namespace: Int32) throws(SystemError) {
    try systemCall("setns", subject: self.namespace) { bh_setns(namespace, bh_CLONE_NEWNET) }
  }

  private func open(_ path: String) throws(SystemError) -> Int32 {
    try systemCall("open", subject: printable(path)) { Glibc.open(path, O_RDONLY | O_CLOEXEC) }
  }
}
