import AgentProtocol
import ContainerInit
import FoundationEssentials
import Glibc
import LinuxSystem

/// A container that nobody asked for, built and started on a program that isn't there. The first container of a VM finds
/// all its code cold: the agent's pages on disk, Swift's metadata not made, and under TCG every instruction of kernel
/// and agent untranslated. Done as the guest comes up, when it otherwise waits for the host, that is not the first real
/// container's to pay.
extension Pod {
  /// Its way up to the program. What is left of it then is for `clearRehearsal`; nil: nothing.
  func rehearse() async -> Container? {
    do {
      // As it would come over the wire.
      let message: [UInt8] = try Self.rehearsal.serializedBytes()
      let plan = try ContainerPlan(.init(serializedBytes: message), podFiles: [])
      let target = try await namespace.first()
      return try await onDedicatedThread { [self] in
        let container = try build(plan, image: "/", in: Self.rehearsalDirectory, project: 0, target: target)
        // There is no such program; the way to it is what counts.
        try? container.start()
        return container
      }
    } catch {
      log("the rehearsal of a container failed: \(error)")
      return nil
    }
  }

  /// Its end, and the same for what a container has on the scratch disk, once that is there. For the time in which
  /// the guest waits for its first container.
  func clearRehearsal(_ container: Container?) async {
    do {
      try await onDedicatedThread {
        Self.stepBack()
        guard let container else { return }
        try container.signal(UInt32(SIGKILL), all: true)
        _ = try container.cgroup.killAndWait()
        container.output.close()
        try container.cgroup.remove()
        Self.rehearsalDirectory.remove()
      }
      try await ready.wait()
      try await onDedicatedThread {
        Self.stepBack()
        let directory = ScratchDirectory(containerID: Self.rehearsal.containerID)
        try directory.create(project: Self.rehearsalProject)
        directory.remove()
      }
    } catch { log("the end of a container's rehearsal failed: \(error)") }
  }

  /// Whatever else wants the processor goes before this thread.
  private static func stepBack() { setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, 19) }

  /// Those of containers come after it.
  static let rehearsalProject: UInt32 = 1
  private static let rehearsalDirectory = ScratchDirectory(
    containerID: rehearsal.containerID, below: GuestPath.rehearsal)

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
