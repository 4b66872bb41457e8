import AgentProtocol
import ContainerInit
import FoundationEssentials
import Glibc
import LinuxSystem

/// A container that nobody asked for, built and started on a program that isn't there. The first container of a VM finds
/// all its code cold: the agent's pages on disk, Swift's metadata not made, and under TCG every instruction of kernel
/// and agent untranslated. Done before the pod is ready, that is not the first real container's to pay.
extension Pod {
  /// From its request to its removal. The scratch disk must be mounted.
  func rehearse() async {
    do {
      // As it would come over the wire.
      let message: [UInt8] = try Self.rehearsal.serializedBytes()
      let plan = try ContainerPlan(.init(serializedBytes: message), podFiles: [])
      let target = try await namespace.first()
      try await onDedicatedThread { [self] in
        let scratch = ScratchDirectory(containerID: plan.id)
        defer { scratch.remove() }
        let container = try build(plan, image: "/", in: scratch, project: Self.rehearsalProject, target: target)
        // There is no such program; the way to it is what counts.
        try? container.start()
        try container.signal(UInt32(SIGKILL), all: true)
        _ = try container.cgroup.killAndWait()
        container.output.close()
        try container.cgroup.remove()
      }
    } catch { log("the rehearsal of a container failed: \(error)") }
  }

  /// Those of containers come after it.
  static let rehearsalProject: UInt32 = 1

  private static var rehearsal: Bulkhead_Agent_V1_CreateContainerRequest {
    .with {
      $0.containerID = "rehearsal"
      $0.imageSerial = "none"
      $0.spec.process.args = [Data("/none".utf8)]
      $0.spec.process.env = [Data("PATH=/bin".utf8)]
      $0.spec.process.capabilities.bounding = ["CAP_CHOWN"]
      $0.spec.linux.resources.pidsLimit = 16
      $0.spec.linux.maskedPaths = ["/proc/kcore", "/proc/scsi", "/sys/firmware"].map { Data($0.utf8) }
      $0.spec.linux.readonlyPaths = ["/proc/sys", "/proc/bus"].map { Data($0.utf8) }
      $0.spec.mounts = [
        ("/proc", "proc", []), ("/dev", "tmpfs", ["nosuid", "mode=755"]),
        ("/dev/pts", "devpts", ["nosuid", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
        ("/dev/shm", "tmpfs", ["nosuid"]), ("/dev/mqueue", "mqueue", ["nosuid"]), ("/sys", "sysfs", ["nosuid", "ro"]),
        ("/sys/fs/cgroup", "cgroup2", ["nosuid", "ro"]),
      ].map { destination, type, options in
        .with {
          $0.destination = Data(destination.utf8)
          $0.type = type
          $0.source = Data(type.utf8)
          $0.options = options
        }
      }
    }
  }
}
