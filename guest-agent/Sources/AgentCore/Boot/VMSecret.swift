import Glibc

/// What proves to the agent that a caller is the daemon: QEMU hands it to the VM as a firmware configuration
/// file, which the kernel shows in sysfs.
enum VMSecret {
  private static let path = "/sys/firmware/qemu_fw_cfg/by_name/opt/bulkhead/secret/raw"
  private static let driver = "/sys/bus/platform/drivers/fw_cfg"

  /// Empty, so that no call is let in, if there is none.
  static func read() -> [UInt8] {
    do {
      return try readFile(path, limit: 4096)
    } catch {
      log("the VM has no secret, so nobody can call: \(error)")
      return []
    }
  }

  /// Takes the kernel's driver away from the device, and the file with it. Containers can't see it anyway
  /// (/sys/firmware is masked); this is for privileged ones.
  static func hide() {
    for entry in (try? directoryEntries(driver)) ?? [] where entry.name.starts(with: Array("QEMU".utf8)) {
      Boot.attempt { try writeFile("\(driver)/unbind", entry.name) }
    }
  }
}
