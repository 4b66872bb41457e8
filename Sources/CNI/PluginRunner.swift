import Common

/// Executes networks' plugins: chains, order and what each plugin is given (CNI specification, "Execution of
/// Network Configurations"). Has no state.
public struct PluginRunner: Sendable {
  /// Where plugins lie, searched in this order.
  public var directories: [String]
  /// Of one execution of one plugin.
  public var deadline: Duration

  public init(directories: [String], deadline: Duration) {
    self.directories = directories
    self.deadline = deadline
  }

  /// ADD of every plugin, each given the result of the one before. On error what was done so far is still
  /// there: DEL undoes it.
  public func add(_ attachment: Attachment) async throws -> AttachmentResult {
    let network = attachment.network
    var result: AttachmentResult?
    for plugin in network.plugins {
      let printed = try await run(.add, plugin, attachment, previous: result)
      guard let printed else { continue }
      do { result = try AttachmentResult(printed, for: network.version) } catch {
        throw BulkheadError(error.code, "CNI plugin \(plugin.type), ADD: \(error.message)")
      }
    }
    return result ?? .empty(network.version)
  }

  /// Whether the attachment is as ADD left it; throws what a plugin finds wrong. Says nothing of networks
  /// whose version or configuration has no CHECK.
  public func check(_ attachment: Attachment) async throws {
    guard attachment.network.version.hasCheck, !attachment.network.disableCheck, let result = attachment.result else {
      return
    }
    for plugin in attachment.network.plugins { _ = try await run(.check, plugin, attachment, previous: result) }
  }

  /// DEL of every plugin, the last first. One that fails does not keep the others from theirs; the first
  /// error is thrown.
  public func delete(_ attachment: Attachment) async throws {
    var first: (any Error)?
    let previous = attachment.network.version.hasCheck ? attachment.result : nil
    for plugin in attachment.network.plugins.reversed() {
      do { _ = try await run(.delete, plugin, attachment, previous: previous) } catch { first = first ?? error }
    }
    if let first { throw first }
  }

  /// Throws what keeps a network from taking pods, as its plugins say; before 1.1.0 they could not.
  public func status(_ network: NetworkConfiguration) async throws {
    guard network.version.hasStatusAndGC else { return }
    for plugin in network.plugins {
      let call = invocation(.status, plugin, of: network, limit: min(deadline, .seconds(5)))
      _ = try await call.run(in: directories)
    }
  }

  /// Tells a network's plugins which attachments there are, so that they release what belongs to no other.
  public func collectGarbage(_ network: NetworkConfiguration, valid: [AttachmentRequest]) async throws {
    guard network.version.hasStatusAndGC, !network.disableGC else { return }
    let list = valid.map {
      JSONValue.object(["containerID": .string($0.containerID), "ifname": .string($0.interface)])
    }
    for plugin in network.plugins {
      var call = invocation(.collect, plugin, of: network, limit: deadline)
      call.configuration["cni.dev/valid-attachments"] = .array(list)
      _ = try await call.run(in: directories)
    }
  }

  private func run(
    _ command: PluginInvocation.Command, _ plugin: NetworkConfiguration.PluginConfiguration,
    _ attachment: Attachment, previous: AttachmentResult?
  ) async throws -> JSONValue? {
    var call = invocation(command, plugin, of: attachment.network, limit: deadline)
    call.attachment = attachment.request
    let wanted = attachment.request.capabilities.filter { plugin.declares($0.key) }
    if !wanted.isEmpty { call.configuration["runtimeConfig"] = .object(wanted) }
    if let previous { call.configuration["prevResult"] = .object(previous.keys) }
    return try await call.run(in: directories)
  }

  private func invocation(
    _ command: PluginInvocation.Command, _ plugin: NetworkConfiguration.PluginConfiguration,
    of network: NetworkConfiguration, limit: Duration
  ) -> PluginInvocation {
    var keys = plugin.keys
    keys["name"] = .string(network.name)
    keys["cniVersion"] = .string(network.version.rawValue)
    return PluginInvocation(command: command, type: plugin.type, configuration: keys, deadline: limit)
  }
}
