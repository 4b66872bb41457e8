import GRPCCore
import Glibc
import LinuxSystem

extension Pod {
  /// Kills what is left of the container and deletes it. A container that isn't there is removed already.
  func removeContainer(_ id: String) async throws {
    guard let container = try beginRemoval(id) else { return }
    do {
      try await onDedicatedThread { try container.cgroup.kill() }
      _ = try await container.wait()
      container.output.close()
      try await onDedicatedThread { [self] in
        try container.cgroup.remove()
        ScratchDirectory(containerID: id).remove()
        scratchSpace?.giveBack()
      }
      release(id)
    } catch {
      // It can be asked for again.
      publish(container)
      throw error
    }
  }
}
