import CLinux
import CNetlink
import Common
import Foundation
import Hypervisor
import LinuxSystem
import Netlink
import Testing

@testable import LibvirtHypervisor

/// Two namespaces of a thread's own stand for the node's and the pod's. Needs root, as the daemon does.
@Suite struct TapLoanTests {
  private let id = MachineID.random()
  private var lentNames: Set<String> { [TapLoan.name(0, of: id), TapLoan.name(1, of: id)] }

  @Test func namesFitAndAreAMachinesOwn() {
    let names = [id, MachineID.random()].flatMap { id in
      (0..<MachineDescription.maximumInterfaces).map { TapLoan.name($0, of: id) }
    }
    #expect(Set(names).count == 2 * MachineDescription.maximumInterfaces)
    for name in names { #expect(name.utf8.count <= 15) }
  }

  @Test func tapsAreLentAndComeBack() async throws {
    try await inNodeAndPod { [lentNames] node, loan in
      let result = try loan.whileLent {
        #expect(Set($0.map(\.tap)) == lentNames)
        #expect($0.map(\.macAddress) == loan.interfaces.map(\.macAddress))
        let present = try node.taps()
        let disabled = try lentNames.map(ipv6IsDisabled)
        #expect(present == lentNames)
        #expect(disabled == [true, true])
        return 7
      } undo: { _ in
        Issue.record("nothing went wrong")
      }
      #expect(result == 7)
      #expect(try node.taps().isEmpty)
      try node.visit(loan.namespace) {
        #expect(try node.taps() == ["first", "second"])
        let disabled = try loan.interfaces.map { try ipv6IsDisabled($0.tap) }
        #expect(disabled == [true, true])
      }
    }
  }

  @Test func afterAFailedStartNoneIsLeft() async throws {
    try await inNodeAndPod { node, loan in
      #expect(throws: BulkheadError.self) {
        try loan.whileLent { _ in
          throw BulkheadError(.unavailable, "QEMU did not start")
        } undo: {
          Issue.record("nothing was started")
        }
      }
      let left = try node.taps()
      #expect(node.isHere() && left.isEmpty)
    }
  }

  @Test func whatWasStartedIsUndoneIfTheyCannotComeBack() async throws {
    try await inNodeAndPod { [id] node, loan in
      var undone = 0
      #expect(throws: BulkheadError.self) {
        // As a release of the machine, whose start was given up.
        try loan.whileLent { _ in
          try TapLoan.removeLeft(of: id)
        } undo: {
          undone += 1
        }
      }
      #expect(undone == 1)
      let left = try node.taps()
      #expect(node.isHere() && left.isEmpty)
    }
  }

  @Test func whatAKilledDaemonLeftIsRemovedAndNothingElse() async throws {
    try await inNodeAndPod { [id] node, _ in
      let others = ["bh0", TapLoan.name(0, of: .random())]
      for name in others + [TapLoan.name(1, of: id)] { try makeTap(name) }
      for _ in 0..<2 {
        try TapLoan.removeLeft(of: id)
        #expect(try node.taps() == Set(others))
      }
    }
  }

  private func inNodeAndPod(_ body: @escaping @Sendable (NodeNamespace, TapLoan) throws -> Void) async throws {
    try await onNamespaceThread { [id] in
      let pod = try newNamespace()
      defer { close(pod) }
      let interfaces = ["first", "second"].map { MachineInterface(tap: $0, macAddress: "02:00:00:00:00:01") }
      for interface in interfaces { try makeTap(interface.tap) }
      let node = try newNamespace()
      defer { close(node) }
      try body(
        NodeNamespace(file: node), TapLoan(id: id, interfaces: interfaces, namespace: "/proc/self/fd/\(pod)"))
    }
  }
}

private struct NodeNamespace {
  let file: Int32

  /// Whether the calling thread is in it.
  func isHere() -> Bool {
    var here = stat()
    var there = stat()
    return stat("/proc/thread-self/ns/net", &here) == 0 && fstat(file, &there) == 0 && here.st_ino == there.st_ino
  }

  /// Of the namespace that the calling thread is in.
  func taps() throws -> Set<String> {
    var socket = try NetlinkSocket()
    return Set(try socket.links().filter { !$0.isLoopback }.map(\.name))
  }

  func visit(_ path: String, _ body: () throws -> Void) throws {
    let other = try systemCall("open") { open(path, O_RDONLY | O_CLOEXEC) }
    defer { close(other) }
    try systemCall("setns") { bh_setns(other, bh_CLONE_NEWNET) }
    try body()
    try systemCall("setns") { bh_setns(file, bh_CLONE_NEWNET) }
  }
}

/// The calling thread is in it afterwards.
private func newNamespace() throws -> Int32 {
  try systemCall("unshare") { bh_unshare(bh_CLONE_NEWNET) }
  return try systemCall("open") { open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC) }
}

private func makeTap(_ name: String) throws { try systemCall("make tap") { netlink_make_tap(name, 300_001, 0) } }

private func ipv6IsDisabled(_ link: String) throws -> Bool {
  let bytes = try readFile("/proc/sys/net/ipv6/conf/\(link)/disable_ipv6", limit: 16)
  // A kernel without IPv6 has nothing to disable.
  return bytes.map { $0.first == UInt8(ascii: "1") } ?? true
}
