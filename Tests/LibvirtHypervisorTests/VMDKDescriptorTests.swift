import Common
import Foundation
import Hypervisor
import Testing

@testable import LibvirtHypervisor

@Suite struct VMDKDescriptorTests {
  @Test func qemuReadsTheFilesAsOneDisk() throws {
    let directory = try TemporaryDirectory()
    let parts: [(name: String, size: Int, fill: UInt8)] = [("a b", 4096, 1), ("ž", 512, 2), ("c,d=e", 1024, 3)]
    let extents = try parts.map {
      MachineDisk.Extent(
        path: try directory.file($0.name, [UInt8](repeating: $0.fill, count: $0.size)),
        size: ByteCount(bytes: UInt64($0.size)))
    }
    let descriptor = try directory.file("disk.vmdk", Array(VMDKDescriptor.text(extents).utf8))
    let raw = directory.path + "/disk.raw"
    let output = try run("/usr/bin/qemu-img", "convert", "-f", "vmdk", "-O", "raw", descriptor, raw)
    #expect(output == Output(status: 0, text: ""))
    let bytes = try [UInt8](Data(contentsOf: URL(fileURLWithPath: raw)))
    let same = bytes == parts.flatMap { [UInt8](repeating: $0.fill, count: $0.size) }
    #expect(same, "\(bytes.count) bytes")
  }

  @Test(arguments: ["relative", "/quote\"inside", "/line\nbreak", "/\(String(repeating: "x", count: 600))"])
  func refusesPathsThatTheFormatCannotSay(_ path: String) {
    #expect(throws: BulkheadError.self) {
      try VMDKDescriptor.text([MachineDisk.Extent(path: path, size: ByteCount(bytes: 512))])
    }
  }

  @Test(arguments: [0, 1, 513] as [UInt64])
  func refusesSizesThatAreNoSectors(_ size: UInt64) {
    #expect(throws: BulkheadError.self) {
      try VMDKDescriptor.text([MachineDisk.Extent(path: "/x", size: ByteCount(bytes: size))])
    }
  }
}
