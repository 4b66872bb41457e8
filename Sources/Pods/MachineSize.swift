import Common

/// How big a pod's virtual machine is: from the resources and overhead that RunPodSandbox names where
/// it names any, else the node's default; never over the node's maximum.
struct MachineSize: Equatable {
  var vcpus: Int
  var memory: ByteCount

  /// What the guest's kernel and agent need besides the containers' limit.
  private static let guestReserve = ByteCount.mebibytes(128)

  init(_ resources: PodResources?, _ configuration: PodsConfiguration) {
    vcpus = configuration.defaultVCPUs
    memory = configuration.defaultMemory
    if let milliCPU = resources?.milliCPU, milliCPU > 0 {
      let whole = milliCPU / 1000 + (milliCPU % 1000 == 0 ? 0 : 1)
      vcpus = Int(min(whole, Int64(configuration.maximumVCPUs)))
    }
    if let bytes = resources?.memoryBytes, bytes > 0 {
      let (sum, overflow) = bytes.addingReportingOverflow(Self.guestReserve.bytes)
      memory = .mebibytes(ByteCount(bytes: overflow ? .max >> 1 : sum).mebibytes)
    }
    memory = min(memory, configuration.maximumMemory)
  }
}
