import BulkheadConfiguration
import CRIServer
import Common
import Foundation
import GRPCCore
import GRPCNGHTTP2
import Hypervisor
import Images
import LibvirtHypervisor
import LinuxSystem
import Logging
import PodNetwork
import Pods
import Streaming

/// Puts the parts together and serves until a signal ends it. Pods are left running.
struct Daemon {
  let settings: Configuration
  let logger: Logger

  func run() async throws {
    let lock = try StateLock(directory: settings.daemon.stateDirectory)
    defer { lock.unlock() }
    try makeDirectories(settings.daemon.runDirectory, mode: 0o711)
    let hypervisor = try await openHypervisor()
    let images = try await openImages()
    let network = NodeNetwork(networkSettings())
    let pods = try PodManager(
      configuration: podsConfiguration(), hypervisor: hypervisor, images: images, network: network, logger: logger)
    try await pods.recover()
    let streaming = try await StreamingServer.bind(
      streamingConfiguration(), backend: PodStreamingBackend(pods: pods), logger: logger)
    try await serve(pods, images, hypervisor, network, streaming)
  }

  private func openHypervisor() async throws -> LibvirtHypervisor {
    let hypervisor = try await LibvirtHypervisor.open(libvirtConfiguration())
    try await hypervisor.warmUp()
    let acceleration = hypervisor.acceleration
    let level: Logger.Level = acceleration.accelerator == .tcg ? .warning : .notice
    logger.log(
      level: level,
      acceleration.accelerator == .tcg ? "guests run without hardware virtualization (TCG): slow" : "guests run on KVM",
      metadata: ["why": "\(acceleration.reason)"])
    return hypervisor
  }

  private func openImages() async throws -> ImageStore {
    let images = try await ImageStore(
      configuration: imageStoreConfiguration(), unpacker: layerUnpacker(), logger: logger)
    try await images.applyPins()
    return images
  }

  private func serve(
    _ pods: PodManager, _ images: ImageStore, _ hypervisor: LibvirtHypervisor, _ network: NodeNetwork,
    _ streaming: StreamingServer
  ) async throws {
    let transport = try NGHTTP2ServerTransport(listeners: [.unix(path: settings.socket, mode: 0o600)])
    let idleMemory = IdleMemory()
    let server = GRPCServer(
      transport: transport, services: services(pods, images, hypervisor, network, streaming),
      interceptors: [idleMemory, CallInterceptor(logger: logger)])
    let logger = logger
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await server.serve() }
      group.addTask { await idleMemory.run() }
      group.addTask { try await streaming.run() }
      group.addTask {
        let signal = await terminationSignal()
        logger.notice("ending; pods go on running", metadata: ["signal": "\(signal)"])
        images.prepareToClose()
        pods.prepareToClose()
        server.beginGracefulShutdown()
        try await Task.sleep(for: Self.longestShutdown)
        logger.warning("ending although calls are still running")
        exit(0)
      }
      logger.notice("serving the CRI", metadata: ["socket": "\(settings.socket)", "version": "\(bulkheadVersion)"])
      notifyServiceManager("READY=1")
      try await group.next()
      group.cancelAll()
    }
  }

  /// For calls that run when a signal comes in. A daemon that is cut off loses nothing: the next one
  /// takes up what its journal says.
  private static let longestShutdown: Duration = .seconds(5)

  private func services(
    _ pods: PodManager, _ images: ImageStore, _ hypervisor: LibvirtHypervisor, _ network: NodeNetwork,
    _ streaming: StreamingServer
  ) -> [any RegistrableRPCService] {
    let acceleration = hypervisor.acceleration
    let info = [
      "accelerator": acceleration.accelerator.rawValue, "acceleratorReason": acceleration.reason,
      "hypervisor": settings.vm.hypervisor.rawValue, "guestKernel": settings.guest.kernel,
      "streaming": streaming.baseURL,
    ]
    return [
      RuntimeService(
        pods: pods,
        identity: RuntimeIdentity(
          version: bulkheadVersion, info: info, cgroupDriver: cgroupDriver,
          scratchDirectory: "\(settings.daemon.stateDirectory)/scratch",
          network: { .init(await network.readiness()) }),
        streaming: streaming),
      ImageService(
        images: images, directory: "\(settings.daemon.stateDirectory)/images",
        scratchDirectory: "\(settings.daemon.stateDirectory)/scratch"),
      OperatorService(pods: pods, images: images, node: nodeDescription(acceleration)),
    ]
  }

  private func nodeDescription(_ acceleration: Acceleration) -> OperatorService.NodeDescription {
    var node = OperatorService.NodeDescription(
      version: bulkheadVersion, acceleration: acceleration, hypervisor: settings.vm.hypervisor.rawValue,
      guestKernelPath: settings.guest.kernel)
    node.guestShell = settings.debug.guestShell
    node.debugImage = settings.debug.image
    return node
  }
}
