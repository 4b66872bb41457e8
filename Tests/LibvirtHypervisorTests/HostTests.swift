import Common
import Foundation
import Hypervisor
import LinuxSystem
import Testing

@testable import LibvirtHypervisor

/// What the hypervisor does to and asks of the host, without a machine.
@Suite struct HostTests {
  @Test func aTestGuestTellsWhetherAnAcceleratorWorks() throws {
    let directory = try TemporaryDirectory()
    let probe = AcceleratorProbe(emulator: "/usr/bin/qemu-system-x86_64", directory: directory.path)
    #expect(try probe.failure(of: .tcg, group: 65534) == nil)
    let broken = AcceleratorProbe(emulator: "/bin/false", directory: directory.path)
    #expect(try broken.failure(of: .tcg, group: 65534) == "a test guest did not run (QEMU ended with 1)")
    #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path).isEmpty)
  }

  @Test func tcgIsTakenAtItsWord() throws {
    let probe = AcceleratorProbe(emulator: "/nonexistent", directory: "/nonexistent")
    let chosen = try probe.choose(.tcg, because: "BULKHEAD_ACCEL=tcg")
    #expect(chosen.accelerator == .tcg)
    #expect(chosen.reason == "BULKHEAD_ACCEL=tcg")
  }

  @Test func aGuestFileBehindAClosedDirectoryIsCopiedToWhereAllCanReadIt() throws {
    let directory = try TemporaryDirectory()
    try makeDirectory(directory.path + "/closed", mode: 0o700)
    try makeDirectory(directory.path + "/open", mode: 0o711)
    let file = try directory.file("closed/kernel", [7, 7, 7], mode: 0o644)
    let copy = try GuestFile.readable(file, "the kernel", copyIn: directory.path + "/open")
    #expect(copy != file)
    #expect(try canRead(copy, as: 300_001))
    #expect(try readFile(copy) == [7, 7, 7])
    #expect(try GuestFile.readable(file, "the kernel", copyIn: directory.path + "/open") == copy)
    try GuestFile.removeCopies(in: directory.path + "/open", except: [copy])
    #expect(try readFile(copy) == [7, 7, 7])
    try GuestFile.removeCopies(in: directory.path + "/open", except: [])
    #expect(try readFile(copy) == nil)
    let open = try directory.file("kernel", [1], mode: 0o644)
    #expect(try GuestFile.readable(open, "the kernel", copyIn: directory.path) == open)
  }

  @Test func aMissingGuestFileSaysHowToGetIt() {
    let error = #expect(throws: BulkheadError.self) {
      try GuestFile.readable("/nonexistent/vmlinux", "the guest's kernel", copyIn: "/tmp")
    }
    #expect(error?.code == .failedPrecondition)
    #expect(error?.message.contains("make build") == true)
  }

  @Test func theConsoleKeepsItsNewestPart() throws {
    let directory = try TemporaryDirectory()
    let line = Array("0123456789abcde\n".utf8)
    let path = try directory.file("console", (0..<70_000).flatMap { _ in line } + Array("the \u{1b}[1mend\n".utf8))
    let console = ConsoleLog(path: path)
    try console.trim()
    let size = try #require(try readFile(path, limit: 2 << 20)?.count)
    #expect(size < 200 << 10)
    #expect(console.lastLines(1) == ["the \\u{1b}[1mend"])
    try console.trim()
    #expect(try readFile(path, limit: 2 << 20)?.count == size)
  }

  @Test func aMissingConsoleHasNoLines() {
    #expect(ConsoleLog(path: "/nonexistent").lastLines(3).isEmpty)
  }

  @Test func rootsThatLeaveNoRoomForSocketsAreRefused() {
    #expect(throws: BulkheadError.self) { try EmbedRoot(path: "/var/lib/" + String(repeating: "x", count: 40)) }
    #expect(throws: BulkheadError.self) { try EmbedRoot(path: "relative") }
    #expect((try? EmbedRoot(path: "/a b&c"))?.uri == "qemu:///embed?root=/a%20b%26c")
  }

  @Test func recordsSurviveAndDamageIsNamed() throws {
    let directory = try TemporaryDirectory()
    let records = MachineRecords(directory: directory.path)
    let id = MachineID.random()
    #expect(try records.load(id) == nil)
    let record = MachineRecord(
      id: id.text, displayName: "a/b", uid: 1, gid: 2, vcpus: 3, memoryBytes: 4, accelerator: .tcg,
      vsock: .device(ProcessIdentity(pid: getpid())),
      disks: [.init(serial: "x", unit: 1, readonly: true, extents: [.init(path: "/x", size: 512)])])
    try records.save(record)
    #expect(try records.load(id) == record)
    #expect(try records.all() == [id])
    _ = try directory.file("\(id).json", Array("{".utf8))
    #expect(throws: BulkheadError.self) { try records.load(id) }
    try records.remove(id)
    try records.remove(id)
    #expect(try records.all().isEmpty)
  }

  @Test func unitsAreTakenAgain() {
    var record = MachineRecord(
      id: "", displayName: "", uid: 1, gid: 1, vcpus: 1, memoryBytes: 1, accelerator: .tcg, vsock: .kernel(cid: 3))
    #expect(record.freeUnit == 0)
    record.disks = [0, 1, 3].map { .init(serial: "\($0)", unit: $0, readonly: true, extents: []) }
    #expect(record.freeUnit == 2)
  }

  @Test func processesAreToldApartByTheirStart() throws {
    let own = try #require(ProcessIdentity(pid: getpid()))
    #expect(own.isRunning)
    var other = own
    other.startTime += 1
    #expect(!other.isRunning)
    #expect(!other.signal(0))
    #expect(ProcessIdentity(pid: 0) == nil)
  }
}
