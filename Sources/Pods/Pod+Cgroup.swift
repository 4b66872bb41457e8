import Common
import HostCgroup
import Hypervisor
import LinuxSystem

/// The host's side of a pod's limits.
extension Pod {
  private var cgroup: CgroupPath? {
    resources.lazy.compactMap { if case .cgroup(let path) = $0 { path } else { nil } }.first
  }

  func makeCgroup() async throws {
    guard let cgroup else { return }
    try await onDedicatedThread { try PodCgroup(cgroup).create() }
  }

  /// Puts the machine's processes into the pod's cgroup: after it has started, before its guest has used
  /// memory to speak of, and again when one is added.
  func confine(_ machine: any VirtualMachine) async throws {
    guard let cgroup else { return }
    let processes = try await machine.status().processes
    try await onDedicatedThread { try PodCgroup(cgroup).add(processes) }
  }
}
