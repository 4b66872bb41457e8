import Common
import Foundation
import Hypervisor
import LinuxSystem
import Testing
import TestSupport

@testable import LibvirtHypervisor

/// Real machines, under TCG.
@Suite(.serialized)
struct MachineTests {
  @Test func aMachineHasWhatItWasGivenAndLeavesNothing() async throws {
    let hypervisor = try await TestNode.hypervisor()
    let files = try TemporaryDirectory()
    let blob = try files.file("blob", [UInt8](repeating: 1, count: 8192))
    let tail = try files.file("tail", [UInt8](repeating: 2, count: 4000))
    let scratch = try files.file("scratch", [UInt8](repeating: 0, count: 65536))
    let description = TestNode.description(disks: [
      MachineDisk(serial: "scratch", extents: [.init(path: scratch, size: ByteCount(bytes: 65536))], readonly: false)
    ])
    let before = try leftovers()
    let machine = try await hypervisor.start(description)
    try await machine.says("secret 5ec2e7")
    try await machine.says("disk scratch 128 ro=0")

    let image = MachineDisk(
      serial: "image",
      extents: [.init(path: blob, size: ByteCount(bytes: 8192)), .init(path: tail, size: ByteCount(bytes: 4096))],
      readonly: true)
    try await machine.attach(image)
    let md5 = try run("/bin/sh", "-c", "(cat \(blob) \(tail); head -c 96 /dev/zero) | md5sum | cut -c1-32").text
    try await machine.says("disk image 24 ro=1 \(md5.prefix(32))")
    #expect(try canRead(blob, as: description.uid))
    #expect(try !canRead(blob, as: description.uid + 1))
    #expect(try await machine.status().disks.map(\.serial) == ["scratch", "image"])

    try await hypervisor.release(description.id)
    try await hypervisor.release(description.id)
    #expect(await machine.waitUntilStopped() == .destroyed)
    #expect(try !canRead(blob, as: description.uid))
    #expect(try !canRead(scratch, as: description.uid))
    #expect(try await hypervisor.running().isEmpty)
    #expect(try leftovers() == before)
  }

  @Test func qemuIsNobodyAndSharedFilesStayRoots() async throws {
    let hypervisor = try await TestNode.hypervisor()
    let description = TestNode.description()
    let machine = try await hypervisor.start(description)
    let status = try await machine.status()
    let pid = try #require(status.qemuPID)
    let process = try processStatus(pid)
    #expect(process["Uid"]?.split(separator: "\t").allSatisfy { $0 == "\(description.uid)" } == true)
    #expect(process["CapEff"] == "0000000000000000")
    #expect(process["CapPrm"] == "0000000000000000")
    #expect(process["Seccomp"] == "2")
    #expect(try link("/proc/\(pid)/ns/mnt") != link("/proc/self/ns/mnt"))
    for path in [hypervisor.kernel, hypervisor.bootImage] {
      let attributes = try FileManager.default.attributesOfItem(atPath: path)
      #expect(attributes[.ownerAccountID] as? Int == 0)
    }
    // What others than root and the machine's user may read: nothing.
    let directory = (status.consolePath as NSString).deletingLastPathComponent
    for name in try FileManager.default.contentsOfDirectory(atPath: directory) {
      let mode = try FileManager.default.attributesOfItem(atPath: "\(directory)/\(name)")[.posixPermissions] as? Int
      #expect((mode ?? 0o777) & 0o077 == 0, "\(name)")
    }
    let command = try readFile("/proc/\(pid)/cmdline").map { String(decoding: $0, as: UTF8.self) } ?? ""
    #expect(!command.contains(description.secret))
    try await hypervisor.release(description.id)
  }

  @Test func aKilledQEMUIsKnownWithoutAsking() async throws {
    let hypervisor = try await TestNode.hypervisor()
    let description = TestNode.description()
    let machine = try await hypervisor.start(description)
    let pid = try #require(try await machine.status().qemuPID)
    kill(pid, SIGKILL)
    #expect(await machine.waitUntilStopped() == .processDied)
    await #expect(throws: BulkheadError.self) { try await machine.dial(port: 1024) }
    try await hypervisor.release(description.id)
    #expect(try await hypervisor.find(description.id) == nil)
  }

  @Test func aGuestsPanicAndItsPoweringOffAreToldApart() async throws {
    let hypervisor = try await TestNode.hypervisor()
    let files = try TemporaryDirectory()
    let disk = try files.file("disk", [UInt8](repeating: 0, count: 512))
    for (serial, expected) in [("panic", MachineExit.guestPanicked), ("poweroff", .guestShutdown)] {
      let description = TestNode.description()
      let machine = try await hypervisor.start(description)
      try await machine.says("up")
      try await machine.attach(
        MachineDisk(serial: serial, extents: [.init(path: disk, size: ByteCount(bytes: 512))], readonly: true))
      #expect(await machine.waitUntilStopped() == expected)
      try await hypervisor.release(description.id)
    }
  }

  @Test func theNextDaemonFindsItAndGoesOn() async throws {
    let description = TestNode.description()
    let files = try TemporaryDirectory()
    let disk = try files.file("disk", [UInt8](repeating: 9, count: 512))
    _ = try await TestNode.hypervisor().start(description)
    let next = try await TestNode.open()
    #expect(try await next.running() == [description.id])
    let machine = try #require(try await next.find(description.id))
    try await machine.says("up")
    try await machine.attach(
      MachineDisk(serial: "late", extents: [.init(path: disk, size: ByteCount(bytes: 512))], readonly: true))
    try await machine.says("disk late 1 ro=1")
    try await machine.destroy()
    try await machine.destroy()
    #expect(await machine.waitUntilStopped() == .destroyed)
    try await next.release(description.id)
  }

  @Test func aShareIsSeenInTheGuest() async throws {
    let hypervisor = try await TestNode.hypervisor()
    let files = try TemporaryDirectory()
    try makeDirectory(files.path + "/dir", mode: 0o700)
    _ = try files.file("dir/file", Array("from the host".utf8))
    let disk = try files.file("disk", [UInt8](repeating: 0, count: 512))
    let description = TestNode.description()
    let machine = try await hypervisor.start(description)
    try await machine.says("up")
    try await machine.attach(MachineShare(tag: "share", directory: files.path + "/dir"))
    try await machine.attach(
      MachineDisk(serial: "share", extents: [.init(path: disk, size: ByteCount(bytes: 512))], readonly: true))
    try await machine.says("share from the host")
    await #expect(throws: BulkheadError.self) {
      try await machine.attach(MachineShare(tag: "other", directory: files.path))
    }
    try await hypervisor.release(description.id)
    #expect(try run("/bin/sh", "-c", "ps -eo args | grep '[v]irtiofsd.*\(description.id.text.prefix(20))'").text == "")
  }

  @Test func whatAGuestWritesToItsConsoleIsBounded() async throws {
    let hypervisor = try await TestNode.hypervisor()
    let files = try TemporaryDirectory()
    let disk = try files.file("disk", [UInt8](repeating: 0, count: 512))
    let description = TestNode.description()
    let machine = try await hypervisor.start(description)
    try await machine.says("up")
    try await machine.attach(
      MachineDisk(serial: "noise", extents: [.init(path: disk, size: ByteCount(bytes: 512))], readonly: true))
    let console = try await machine.status().consolePath
    let size = { (try? FileManager.default.attributesOfItem(atPath: console)[.size] as? Int) ?? 0 }
    try await eventually("the guest fills its console") { size() > 100_000 }
    #expect(size() < 4 << 20)
    try await hypervisor.release(description.id)
  }

  @Test func anErrorNamesThePodAndLeavesNothing() async throws {
    let hypervisor = try await TestNode.hypervisor()
    let before = try leftovers()
    var description = TestNode.description()
    description.networkNamespace = "/nonexistent/netns"
    let missing = await #expect(throws: BulkheadError.self) { try await hypervisor.start(description) }
    #expect(missing?.code == .notFound)
    description.networkNamespace = nil
    description.disks = [
      MachineDisk(serial: "x", extents: [.init(path: "/nonexistent", size: ByteCount(bytes: 512))], readonly: true)
    ]
    let noDisk = await #expect(throws: BulkheadError.self) { try await hypervisor.start(description) }
    #expect(noDisk?.code == .notFound)
    description.disks = []
    // libvirt's own words: a tap that is not there.
    description.interfaces = [MachineInterface(tap: "bh-none", macAddress: "02:00:00:00:00:01")]
    let noTap = await #expect(throws: BulkheadError.self) { try await hypervisor.start(description) }
    #expect(noTap.map { "\($0)" }?.contains("managed='no'") == true)
    #expect(noTap?.message.contains(description.displayName) == true)
    #expect(try leftovers() == before)
  }

  @Test func qemuLivesInThePodsNetworkNamespaceAndKeepsNoneAlive() async throws {
    let hypervisor = try await TestNode.hypervisor()
    var description = TestNode.description()
    let name = "bh-test-\(description.uid)"
    try run("/usr/sbin/ip", "netns", "add", name)
    let tap = try run(
      "/usr/sbin/ip", "-n", name, "tuntap", "add", "tap0", "mode", "tap", "vnet_hdr", "user", "\(description.uid)")
    #expect(tap == Output(status: 0, text: ""))
    let namespace = "/run/netns/\(name)"
    let inode = try run("/usr/bin/stat", "-Lc", "%i", namespace).text.trimmingCharacters(in: .newlines)
    description.networkNamespace = namespace
    description.interfaces = [MachineInterface(tap: "tap0", macAddress: "02:00:00:00:00:01")]
    let machine = try await hypervisor.start(description)
    let pid = try #require(try await machine.status().qemuPID)
    #expect(try link("/proc/\(pid)/ns/net") == "net:[\(inode)]")
    #expect(try link("/proc/self/ns/net") != "net:[\(inode)]")
    try await machine.says("nic 02:00:00:00:00:01")
    try await hypervisor.release(description.id)
    try run("/usr/sbin/ip", "netns", "delete", name)
    // Neither a process nor one of libvirt's threads in this one is still in it.
    let users = "ls -l /proc/[0-9]*/task/*/ns/net 2>/dev/null | grep -c 'net:\\[\(inode)\\]'"
    #expect(try run("/bin/sh", "-c", users).text == "0\n")
  }

  @Test func startingItTwiceIsRefusedAndHarmless() async throws {
    let hypervisor = try await TestNode.hypervisor()
    let description = TestNode.description()
    let machine = try await hypervisor.start(description)
    let error = await #expect(throws: BulkheadError.self) { try await hypervisor.start(description) }
    #expect(error?.code == .alreadyExists)
    #expect(try await machine.status().qemuPID != nil)
    try await hypervisor.release(description.id)
  }

  /// Files, mounts and processes of the test's node.
  private func leftovers() throws -> [String] {
    let path = TestNode.path
    let files = try run(
      "/bin/sh", "-c",
      "cd \(path) && find run state && find libvirt/run libvirt/lib libvirt/log ! -type d 2>/dev/null || true")
    let mounts = try run("/bin/sh", "-c", "grep ' \(path)' /proc/self/mounts || true")
    let processes = try run("/bin/sh", "-c", "ps -eo args | grep '[ =]\(path)' | grep -v grep || true")
    return [files.text, mounts.text, processes.text].flatMap { $0.split(separator: "\n").map(String.init) }.sorted()
  }

  private func processStatus(_ pid: Int32) throws -> [String: String] {
    let text = try readFile("/proc/\(pid)/status").map { String(decoding: $0, as: UTF8.self) } ?? ""
    return text.split(separator: "\n").reduce(into: [:]) { fields, line in
      let parts = line.split(separator: ":", maxSplits: 1)
      if parts.count == 2 { fields[String(parts[0])] = parts[1].trimmingCharacters(in: .whitespaces) }
    }
  }

  private func link(_ path: String) throws -> String { try FileManager.default.destinationOfSymbolicLink(atPath: path) }
}
