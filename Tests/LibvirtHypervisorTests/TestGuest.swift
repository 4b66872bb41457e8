import Common
import Foundation
import Hypervisor
import Synchronization
import Testing
import TestSupport

@testable import LibvirtHypervisor

/// The node that the machines of these tests run on: one for the process, since a process has one
/// embedded libvirt.
enum TestNode {
  static let user = Atomic<UInt32>(310_000)

  /// Nil where the guest's kernel has not been built.
  static let kernel: String? = {
    let checkout = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent().path
    let build = ProcessInfo.processInfo.environment["BULKHEAD_BUILD_DIR"] ?? checkout + "/build"
    let kernel = build + "/guest/vmlinux"
    return FileManager.default.fileExists(atPath: kernel) ? kernel : nil
  }()

  /// Built beside the test.
  static let vsockDevice: String = {
    let own = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
    let candidates = [own] + CommandLine.arguments
    for path in candidates where path.contains("/") {
      var directory = URL(fileURLWithPath: path)
      while directory.path != "/" {
        directory.deleteLastPathComponent()
        let program = directory.appendingPathComponent("bulkhead-vsock").path
        if FileManager.default.isExecutableFile(atPath: program) { return program }
      }
    }
    return "/nonexistent/bulkhead-vsock"
  }()

  /// Gone when the process is.
  static let path: String = {
    let path = "/tmp/bh-node-\(getpid())"
    mkdir(path, 0o755)
    atexit { try? FileManager.default.removeItem(atPath: TestNode.path) }
    return path
  }()

  static func configuration() throws -> LibvirtConfiguration {
    var configuration = LibvirtConfiguration(
      connection: .embedded(root: path + "/libvirt"), stateDirectory: path + "/state", runDirectory: path + "/run",
      kernel: try #require(kernel, "the guest's kernel is not built: make kernel"), bootImage: try bootImage.get(),
      vsockDevice: vsockDevice)
    configuration.accelerator = .tcg
    configuration.acceleratorReason = "tests"
    return configuration
  }

  private static let first = Task {
    let hypervisor = try await open()
    try await hypervisor.warmUp()
    return hypervisor
  }

  /// The daemon's, for most tests.
  static func hypervisor() async throws -> LibvirtHypervisor { try await first.value }

  /// Another one, as the next daemon opens it.
  static func open() async throws -> LibvirtHypervisor { try await LibvirtHypervisor.open(configuration()) }

  static func description(disks: [MachineDisk] = []) -> MachineDescription {
    let uid = user.wrappingAdd(1, ordering: .relaxed).newValue
    return MachineDescription(
      id: .random(), displayName: "tests/\(uid)", vcpus: 1, memory: .mebibytes(128), uid: uid, gid: uid,
      networkNamespace: nil, secret: "5ec2e7", disks: disks)
  }

  /// A boot image whose init is a shell script. It says on the console what it sees, and does what the
  /// serials of disks that are plugged in tell it to.
  private static let bootImage = Result {
    let root = path + "/guest"
    for name in ["bin", "sbin", "proc", "sys", "dev"] {
      try FileManager.default.createDirectory(atPath: "\(root)/\(name)", withIntermediateDirectories: true)
    }
    try FileManager.default.copyItem(atPath: "/bin/busybox", toPath: root + "/bin/busybox")
    for applet in ["sh", "mount", "cat", "tail", "head", "md5sum", "usleep", "poweroff", "yes", "cut"] {
      try FileManager.default.createSymbolicLink(atPath: "\(root)/bin/\(applet)", withDestinationPath: "busybox")
    }
    try Data(script.utf8).write(to: URL(fileURLWithPath: root + "/sbin/init"))
    try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: root + "/sbin/init")
    let image = path + "/boot.erofs"
    #expect(try run("/usr/bin/mkfs.erofs", "-T0", "--all-root", image, root).status == 0)
    return image
  }

  private static let script = """
    #!/bin/sh
    export PATH=/bin
    mount -t proc proc /proc
    mount -t sysfs sys /sys
    mount -t devtmpfs dev /dev
    echo "secret $(cat /sys/firmware/qemu_fw_cfg/by_name/opt/bulkhead/secret/raw)"
    for nic in /sys/class/net/eth*; do [ -e $nic ] && echo "nic $(cat $nic/address)"; done
    echo "up"
    seen=
    while :; do
      for disk in /sys/block/sd*; do
        [ -e $disk/device/vpd_pg80 ] || continue
        case " $seen " in *" $disk "*) continue ;; esac
        seen="$seen $disk"
        serial=$(tail -c +5 $disk/device/vpd_pg80)
        echo "disk $serial $(cat $disk/size) ro=$(cat $disk/ro) $(cat /dev/${disk##*/} | md5sum | cut -c1-32)"
        case $serial in
          panic) exit 1 ;;
          poweroff) poweroff -f ;;
          noise) yes "noise noise noise noise noise noise noise noise" ;;
          share) mkdir /dev/share; mount -t virtiofs share /dev/share && echo "share $(cat /dev/share/file)" ;;
          write) echo written | cat > /dev/${disk##*/} && sync && echo "wrote" ;;
        esac
      done
      usleep 20000
    done

    """
}

extension VirtualMachine {
  /// Waits until the guest says this; throws where it does not.
  func says(_ text: String) async throws {
    let console = try await status().consolePath
    try await eventually("the guest says \(text)") {
      guard let bytes = try readFile(console, limit: 4 << 20) else { return false }
      return String(decoding: bytes, as: UTF8.self).contains(text)
    }
  }
}
