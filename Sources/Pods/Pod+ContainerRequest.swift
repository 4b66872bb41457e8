import Common
import OCISpec

/// What a container's configuration needs from outside of it before its specification can be built.
extension Pod {
  /// `configuration` with the container whose PID namespace it joins by its whole id. Throws
  /// `invalidArgument` if that is no running container of this pod.
  func resolved(_ configuration: ContainerConfiguration) async throws -> ContainerConfiguration {
    guard case .target(let prefix) = configuration.pidMode else { return configuration }
    let field = "namespace_options.target_id"
    let containers = services.snapshot.current.containers.filter { $0.value.podID == id }
    let target: ContainerID
    do { target = try resolve(prefix, in: containers, what: "container") } catch {
      throw BulkheadError(
        .invalidArgument,
        "\(field): pod \(record.spec.metadata.displayName) has no container \(printable(prefix, limit: 64))")
    }
    guard let state = containers[target]?.state, state.isRunning else {
      throw BulkheadError(.failedPrecondition, "\(field): container \(target.short) is not running")
    }
    var configuration = configuration
    configuration.pidMode = .target(target.text)
    return configuration
  }

  /// The node's seccomp profile that the container asks for. A privileged container gets none, so its file
  /// need not even be there.
  func localhostSeccomp(_ configuration: ContainerConfiguration) async throws -> SeccompProfile? {
    guard case .localhost(let path) = configuration.seccomp, !configuration.privileged else { return nil }
    return try await SeccompProfileFile.read(path)
  }
}
