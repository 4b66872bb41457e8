import AgentProtocol
import Common
import Hypervisor

/// A pod's machine from both sides.
public struct PodInspection: Sendable {
  /// As the host sees it; nil where the pod is not running.
  public var machine: MachineStatus?
  /// As the guest sees itself; nil where it could not be asked, `guestError` says why.
  public var guest: GuestReport?
  public var guestError: String
}

/// What a guest says of itself: for people, not to be trusted.
public struct GuestReport: Sendable {
  public var agentVersion: String
  public var kernelRelease: String
  public var cpus: UInt32
  public var memoryTotal: ByteCount
  public var memoryAvailable: ByteCount
  public var agentResident: ByteCount
  public var uptimeMilliseconds: UInt64

  init(_ response: Bulkhead_Agent_V1_GuestInfoResponse, agentVersion: String) {
    self.agentVersion = agentVersion
    kernelRelease = printable(response.kernelRelease, limit: 128)
    cpus = response.cpus
    memoryTotal = ByteCount(bytes: response.memoryTotalBytes)
    memoryAvailable = ByteCount(bytes: response.memoryAvailableBytes)
    agentResident = ByteCount(bytes: response.agentResidentBytes)
    uptimeMilliseconds = response.uptimeMilliseconds
  }
}
