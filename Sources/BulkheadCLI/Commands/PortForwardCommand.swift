import ArgumentParser
import Common
import Foundation
import GRPCCore
import LinuxSystem
import OperatorAPI

struct PortForwardCommand: DaemonCommand {
  static let configuration = CommandConfiguration(
    commandName: "port-forward", abstract: "Makes ports on a pod's own loopback reachable on this node's.",
    usage: "bulkheadctl port-forward POD [LOCAL:]REMOTE ...",
    discussion: """
      Listens on 127.0.0.1 and, where there is IPv6, on ::1, until it is ended. LOCAL 0 is any free port. A \
      connection that the pod refuses is told on stderr and ends alone.
      """)

  @OptionGroup var global: GlobalOptions
  @Argument(help: "The pod.")
  var pod: String
  @Argument(help: "The ports: LOCAL:REMOTE, or one number for both.")
  var ports: [PortPair]

  func run(in context: CommandContext) async throws {
    let (name, ports) = (pod, ports)
    let reactor = try Reactor.started()
    try await Connection(global, context).withDaemon { daemon in
      let id = try await daemon.pod(name).id
      try await withThrowingTaskGroup(of: Void.self) { group in
        for pair in ports {
          for listener in try LoopbackListener.open(port: pair.local, reactor) {
            try context.output.write("Forwarding from \(listener.name) -> \(pair.remote)\n")
            group.addTask {
              try await listener.serve { connection in
                let forwarded = ForwardedConnection(connection: connection, pod: id, port: pair.remote)
                do { try await forwarded.run(daemon) } catch {
                  guard let error = error as? RPCError, error.code != .cancelled else { return }
                  context.complain(printable(error.message, limit: 1024))
                }
              }
            }
          }
        }
        try await group.waitForAll()
      }
    }
  }
}

/// LOCAL:REMOTE, or one number for both.
struct PortPair: ExpressibleByArgument, Equatable {
  let local: UInt16
  let remote: UInt16

  init?(argument: String) {
    let parts = argument.split(separator: ":", omittingEmptySubsequences: false).map { UInt16($0) }
    guard (1...2).contains(parts.count), let first = parts.first ?? nil, let last = parts.last ?? nil, last > 0 else {
      return nil
    }
    (local, remote) = (first, last)
  }
}
