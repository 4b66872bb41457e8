import OperatorAPI

/// What `inspect` shows, as JSON has it. What the daemon doesn't know is null.
struct PodView: Encodable {
  let id: String
  let namespace: String
  let name: String
  let uid: String
  let attempt: UInt32
  let state: String
  let reason: String
  let createdAt: String
  let networkNamespace: String
  let vm: Machine?
  let guest: Guest?
  let bootPhases: [Phase]
  let containers: [Container]
  let createdNanoseconds: Int64

  struct Machine: Encodable {
    let accelerator: String
    let qemuPID: Int32
    let vsockPID: Int32
    let uid: UInt32
    let vcpus: UInt32
    let memoryBytes: UInt64
    let qemuResidentBytes: UInt64
    let consolePath: String
    let disks: [Disk]
  }

  struct Disk: Encodable {
    let serial: String
    let sizeBytes: UInt64
    let readonly: Bool
    let files: UInt32
  }

  struct Guest: Encodable {
    /// Why nothing else is known; empty where it is.
    let unreachable: String
    let kernelRelease: String
    let agentVersion: String
    let cpus: UInt32
    let memoryTotalBytes: UInt64
    let memoryAvailableBytes: UInt64
    let agentResidentBytes: UInt64
    let uptimeMilliseconds: UInt64
  }

  struct Phase: Encodable {
    let name: String
    let startMicroseconds: UInt64
    let durationMicroseconds: UInt64
  }

  struct Container: Encodable {
    let id: String
    let name: String
    let image: String
    let state: String
    let pid: UInt32
    let exitCode: Int32
    let logPath: String
  }
}

extension PodView {
  init(_ pod: Bulkhead_Operator_V1_InspectPodResponse) {
    id = pod.id
    namespace = pod.namespace
    name = pod.name
    uid = pod.uid
    attempt = pod.attempt
    state = pod.state
    reason = pod.reason
    createdAt = timestamp(pod.createdNanoseconds)
    createdNanoseconds = pod.createdNanoseconds
    networkNamespace = pod.networkNamespace
    vm = pod.hasVm ? Machine(pod.vm) : nil
    guest = pod.hasGuest ? Guest(pod.guest) : nil
    bootPhases = pod.bootPhases.map {
      Phase(name: $0.name, startMicroseconds: $0.startMicroseconds, durationMicroseconds: $0.durationMicroseconds)
    }
    containers = pod.containers.map {
      Container(
        id: $0.id, name: $0.name, image: $0.image, state: $0.state, pid: $0.pid, exitCode: $0.exitCode,
        logPath: $0.logPath)
    }
  }
}

extension PodView.Machine {
  init(_ vm: Bulkhead_Operator_V1_VirtualMachine) {
    accelerator = vm.accelerator
    qemuPID = vm.qemuPid
    vsockPID = vm.vsockPid
    uid = vm.uid
    vcpus = vm.vcpus
    memoryBytes = vm.memoryBytes
    qemuResidentBytes = vm.qemuResidentBytes
    consolePath = vm.consolePath
    disks = vm.disks.map {
      PodView.Disk(serial: $0.serial, sizeBytes: $0.sizeBytes, readonly: $0.readonly, files: $0.files)
    }
  }
}

extension PodView.Guest {
  init(_ guest: Bulkhead_Operator_V1_Guest) {
    unreachable = guest.unreachable
    kernelRelease = guest.kernelRelease
    agentVersion = guest.agentVersion
    cpus = guest.cpus
    memoryTotalBytes = guest.memoryTotalBytes
    memoryAvailableBytes = guest.memoryAvailableBytes
    agentResidentBytes = guest.agentResidentBytes
    uptimeMilliseconds = guest.uptimeMilliseconds
  }
}
