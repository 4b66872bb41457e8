import Common
import Foundation
import LinuxSystem

/// The directory tree of the embedded libvirt: its QEMU driver's configuration, caches, logs and
/// monitor sockets.
struct EmbedRoot: Sendable {
  let path: String

  /// Monitor sockets are at PATH/lib/qemu/domain-ID-NAME/monitor.sock, where NAME is at most 20 bytes,
  /// and a socket's path has at most 107 (unix(7)).
  static let longestPath = 40

  init(path: String) throws(BulkheadError) {
    guard path.hasPrefix("/"), path.utf8.count <= Self.longestPath else {
      throw BulkheadError(
        .invalidArgument,
        "libvirt's root \"\(printable(path))\" must be an absolute path of at most \(Self.longestPath) bytes")
    }
    self.path = path
  }

  var uri: String {
    var allowed = CharacterSet.urlQueryAllowed
    allowed.remove(charactersIn: "&+;=")
    return "qemu:///embed?root=" + (path.addingPercentEncoding(withAllowedCharacters: allowed) ?? path)
  }

  /// Writes the driver's configuration. Must be done before the connection is opened.
  func prepare() throws {
    try requireUser()
    try makeDirectory(path, mode: 0o711)
    try makeDirectory(path + "/etc", mode: 0o755)
    try replaceFile(path + "/etc/qemu.conf", Array(Self.configuration.utf8), mode: 0o644)
  }

  func logFile(domain: String) -> String { "\(path)/log/qemu/\(domain).log" }

  private static let configuration = """
    # Written by bulkheadd at each start; changes are lost.
    # There is no virtlogd: QEMU writes its console and its log by itself.
    stdio_handler = "file"
    # Each machine names a user of its own; this one is for probing what QEMU can do.
    user = "libvirt-qemu"
    group = "kvm"
    security_driver = "none"
    # Nothing is to be chowned back to an owner remembered from before.
    remember_owner = 0
    seccomp_sandbox = 1
    namespaces = [ "mount" ]
    # The pod's cgroup is made by whoever asked for the pod.
    cgroup_controllers = [ ]
    # Else each start reads some 400 properties of the CPU, one call each.
    capability_filters = [ "cpu-unavailable-features" ]

    """

  /// libvirt refuses to probe QEMU without them, and says so in no clear way.
  private func requireUser() throws(BulkheadError) {
    guard getpwnam("libvirt-qemu") != nil, getgrnam("libvirt-qemu") != nil, getgrnam("kvm") != nil else {
      throw BulkheadError(
        .failedPrecondition,
        """
        the user libvirt-qemu and the groups libvirt-qemu and kvm must exist; run: groupadd --system kvm; \
        groupadd --system libvirt-qemu; useradd --system --no-create-home --shell /usr/sbin/nologin --gid kvm \
        --groups libvirt-qemu libvirt-qemu
        """)
    }
  }
}
