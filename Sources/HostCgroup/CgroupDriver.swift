import Glibc

/// Who names the cgroups of pods on this node; the kubelet asks (RuntimeConfig) and does the same.
public enum CgroupDriver: String, Sendable, CaseIterable {
  case cgroupfs, systemd

  /// systemd where it runs the node, as sd_booted(3) finds out.
  public static func detect(systemdDirectory: String = "/run/systemd/system") -> CgroupDriver {
    access(systemdDirectory, F_OK) == 0 ? .systemd : .cgroupfs
  }
}
