import BulkheadConfiguration
import Common
import Foundation
import HostCgroup
import Images
import LibvirtHypervisor
import Pods
import Streaming

/// The one configuration file, as each part wants its share of it.
extension Daemon {
  func libvirtConfiguration() -> LibvirtConfiguration {
    var configuration = LibvirtConfiguration(
      connection: settings.vm.hypervisor == .embed ? .embedded(root: settings.libvirtRoot) : .system,
      stateDirectory: "\(settings.daemon.stateDirectory)/vm", runDirectory: "\(settings.daemon.runDirectory)/vm",
      kernel: settings.guest.kernel, bootImage: settings.guest.bootImage, vsockDevice: settings.libexec.vsock)
    configuration.emulator = settings.vm.emulator
    configuration.virtiofsd = settings.libexec.virtiofsd
    configuration.accelerator =
      switch settings.vm.accelerator {
      case .auto: .auto
      case .kvm: .kvm
      case .tcg: .tcg
      }
    configuration.acceleratorReason = "vm.accelerator or BULKHEAD_ACCEL says so"
    configuration.maximumVCPUs = maximumVCPUs
    configuration.maximumMemory = maximumMemory
    return configuration
  }

  func podsConfiguration() -> PodsConfiguration {
    var configuration = PodsConfiguration(
      stateDirectory: settings.daemon.stateDirectory, runDirectory: settings.daemon.runDirectory,
      bootTimeout: settings.vm.bootTimeout, scratchSize: settings.vm.scratchSize, defaultVCPUs: settings.vm.vcpus,
      defaultMemory: settings.vm.memory, maximumVCPUs: maximumVCPUs, maximumMemory: maximumMemory,
      firstUID: settings.vm.uidBase, uidCount: settings.vm.uidCount, pidsLimit: Int64(settings.container.pidsLimit),
      rlimits: settings.container.resourceLimits.map { ("RLIMIT_\($0.name.uppercased())", $0.soft, $0.hard) },
      logLineMaximum: Int(settings.container.logLineMax.bytes))
    configuration.lowersBidirectionalMounts = settings.container.bidirectionalMounts == .hostToContainer
    configuration.addressAnnotations = settings.network.addressAnnotations
    return configuration
  }

  func streamingConfiguration() -> StreamingConfiguration {
    var configuration = StreamingConfiguration()
    configuration.address = settings.streaming.address
    configuration.port = settings.streaming.port
    configuration.idleTimeout = settings.streaming.idleTimeout
    return configuration
  }

  func imageStoreConfiguration() -> ImageStore.Configuration {
    var configuration = ImageStore.Configuration(
      directory: "\(settings.daemon.stateDirectory)/images", registriesDirectory: settings.images.certsDirectory)
    configuration.parallelLayers = settings.images.parallelLayers
    configuration.idleTimeout = settings.images.pullIdleTimeout
    configuration.pinned = settings.images.pinned
    return configuration
  }

  func layerUnpacker() -> LayerUnpacker {
    LayerUnpacker(
      executable: settings.libexec.unpack, uid: settings.images.unpackUID, gid: settings.images.unpackGID,
      limits: LayerLimits(
        maximumSize: settings.images.maxLayerBytes, maximumEntries: settings.images.maxLayerEntries))
  }

  var cgroupDriver: CgroupDriver {
    switch settings.daemon.cgroupDriver {
    case .auto: .detect()
    case .cgroupfs: .cgroupfs
    case .systemd: .systemd
    }
  }

  /// Where the file sets no bounds, no machine gets more than the node has.
  private var maximumVCPUs: Int { settings.vm.maxVCPUs ?? ProcessInfo.processInfo.processorCount }
  private var maximumMemory: ByteCount {
    settings.vm.maxMemory ?? .mebibytes(ProcessInfo.processInfo.physicalMemory >> 20)
  }
}
