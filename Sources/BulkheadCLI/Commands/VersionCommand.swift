import ArgumentParser
import CRI
import Common
import OperatorAPI

struct VersionCommand: DaemonCommand {
  static let configuration = CommandConfiguration(
    commandName: "version", abstract: "Shows the versions of bulkheadctl and the daemon, and what runs the VMs.")

  @OptionGroup var global: GlobalOptions

  func run(in context: CommandContext) async throws {
    let connection = Connection(global, context)
    let (cri, node) = try await connection.withDaemon { daemon in
      (
        try await daemon.runtime.version(.init(), options: daemon.quick),
        try await daemon.node.version(.init(), options: daemon.quick)
      )
    }
    let view = VersionView(cri: cri, node: node, socket: connection.socket)
    switch global.output {
    case .json: try context.output.print(json: view)
    case .table: try context.output.print(view.lines)
    }
  }
}

struct VersionView: Encodable {
  let client = bulkheadVersion
  let daemon: String
  let runtimeName: String
  let runtimeAPIVersion: String
  let accelerator: String
  let acceleratorReason: String
  let hypervisor: String
  let guestKernel: String
  let socket: String
  let daemonPID: UInt32
  let daemonResidentBytes: UInt64

  init(cri: Runtime_V1_VersionResponse, node: Bulkhead_Operator_V1_VersionResponse, socket: String) {
    daemon = node.version
    runtimeName = cri.runtimeName
    runtimeAPIVersion = cri.runtimeApiVersion
    accelerator = node.accelerator
    acceleratorReason = node.acceleratorReason
    hypervisor = node.hypervisor
    guestKernel = node.guestKernelPath
    self.socket = socket
    daemonPID = node.daemonPid
    daemonResidentBytes = node.daemonResidentBytes
  }

  var lines: [String] {
    properties([
      ("bulkheadctl", client),
      ("bulkheadd", "\(daemon), pid \(daemonPID), \(ByteCount(bytes: daemonResidentBytes)) resident, on \(socket)"),
      ("runtime", "\(runtimeName), CRI \(runtimeAPIVersion)"),
      ("accelerator", acceleratorReason.isEmpty ? accelerator : "\(accelerator) (\(acceleratorReason))"),
      ("hypervisor", hypervisor),
      ("guest kernel", guestKernel),
    ])
  }
}
