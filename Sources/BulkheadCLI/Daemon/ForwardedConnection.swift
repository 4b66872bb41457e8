import Foundation
import GRPCCore
import LinuxSystem
import OperatorAPI

/// One connection of this node's loopback, joined to a port of a pod by one call.
struct ForwardedConnection: Sendable {
  let connection: AsyncDescriptor
  let pod: String
  let port: UInt16

  func run(_ daemon: Daemon) async throws {
    defer { connection.close() }
    try await daemon.node.portForward(options: daemon.patient) { writer in
      try await writer.write(.with { ($0.podID, $0.port) = (pod, UInt32(port)) })
      while let block = try await connection.readBlock(limit: 64 << 10) {
        defer { block.free() }
        try await writer.write(.with { $0.data = Data(block.bytes) })
      }
    } onResponse: { response in
      for try await message in response.messages {
        switch message.kind {
        case .data(let bytes):
          let block = MemoryBlock(copying: bytes)
          defer { block.free() }
          try await connection.write(block.bytes)
        case .end: try connection.shutdownOutput()
        case .connected, nil: break
        }
      }
    }
  }
}
