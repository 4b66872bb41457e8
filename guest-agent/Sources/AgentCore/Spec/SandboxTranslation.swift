import AgentProtocol
import FoundationEssentials
import GRPCCore

extension SandboxPlan {
  /// Throws INVALID_ARGUMENT.
  init(_ request: Bulkhead_Agent_V1_CreateSandboxRequest) throws {
    guard request.hostname.utf8.count <= 64,
      request.hostname.utf8.allSatisfy({ isAlphanumeric($0) || $0 == 0x2d || $0 == 0x2e })
    else { throw invalid("hostname is not a host's name of at most 64 characters") }
    hostname = request.hostname
    resolvConf = [UInt8](request.resolvConf)
    realtime = request.realtimeNanoseconds
    sysctls = try request.sysctls.sorted { $0.key < $1.key }.map { (try Self.path($0.key), $0.value) }
    scratchSerial = try Validated.serial(request.scratchSerial, "scratch_serial")
    interfaces = try request.interfaces.map { try InterfacePlan($0) }
    sharedMemoryBytes = request.shmBytes == 0 ? 64 << 20 : request.shmBytes
  }

  /// The file below /proc/sys. As sysctl(8) has it: dots part the key, and a slash stands for a dot in a name
  /// (net.ipv4.conf.eth0/1.forwarding).
  private static func path(_ key: String) throws -> String {
    let parts = key.split(separator: ".", omittingEmptySubsequences: false).map {
      $0.replacing("/", with: ".")
    }
    let valid = parts.allSatisfy { part in
      !part.isEmpty && part != "." && part != ".."
        && part.utf8.allSatisfy { isAlphanumeric($0) || [0x2d, 0x2e, 0x5f].contains($0) }
    }
    guard valid, key.utf8.count < 256 else { throw invalid("sysctls: \"\(key.prefix(64))\" is not a key") }
    return parts.joined(separator: "/")
  }
}
