import Common
import Hypervisor

/// A disk of several files, as a VMDK descriptor: QEMU shows flat extents, each a whole file, as one
/// disk (VMware, "Virtual Disk Format 5.0", section "The Disk Descriptor File").
enum VMDKDescriptor {
  static let sectorSize: UInt64 = 512

  /// Throws `invalidArgument` for an extent whose path or size the format cannot say.
  static func text(_ extents: [MachineDisk.Extent]) throws(BulkheadError) -> String {
    // No empty line: QEMU reads past one, and would take the extent after it twice.
    var lines = [
      "# Disk DescriptorFile", "version=1", "CID=fffffffe", "parentCID=ffffffff", "createType=\"twoGbMaxExtentFlat\"",
    ]
    for extent in extents {
      guard extent.size.bytes > 0, extent.size.bytes.isMultiple(of: sectorSize) else {
        throw BulkheadError(
          .invalidArgument, "disk extent \(printable(extent.path)): \(extent.size.bytes) bytes are no number of sectors"
        )
      }
      // The path stands between quotes, and the format has no way to write one inside.
      let path = extent.path
      guard path.hasPrefix("/"), path.utf8.count < 512,
        path.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7f && $0 != UInt8(ascii: "\"") })
      else {
        throw BulkheadError(
          .invalidArgument, "disk extent \"\(printable(path))\": not a path that a disk can be made of")
      }
      lines.append("RW \(extent.size.bytes / sectorSize) FLAT \"\(path)\" 0")
    }
    lines += ["ddb.virtualHWVersion = \"4\"", "ddb.adapterType = \"lsilogic\"", ""]
    return lines.joined(separator: "\n")
  }
}
