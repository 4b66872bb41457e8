import CRI
import ContainerLog
import Foundation
import GRPCCore
import GRPCNGHTTP2
import GRPCProtobuf
import OperatorAPI
import SwiftProtobuf
import Synchronization

@testable import BulkheadCLI

/// A daemon with canned pods behind a real socket and the real transport: only the calls that
/// bulkheadctl makes, the others are UNIMPLEMENTED.
final class FakeDaemon: RegistrableRPCService {
  struct State {
    var pods: [Runtime_V1_PodSandbox] = []
    var containers: [Runtime_V1_Container] = []
    var statuses: [String: Runtime_V1_ContainerStatus] = [:]
    var images: [Runtime_V1_Image] = []
    var inspection = Bulkhead_Operator_V1_InspectPodResponse()
    var console: [[UInt8]] = []
    var execs: [Runtime_V1_ExecSyncRequest] = []
    var removed: [String] = []
    var stopped: [String] = []
    var created: [Runtime_V1_CreateContainerRequest] = []
    /// What the container of the next `run` does.
    var program = Program(output: [], exitCode: 0)
  }

  struct Program {
    var output: [(LogStream, String)]
    var exitCode: Int32
    var startError = ""
    var endless = false
  }

  let state = Mutex(State())

  typealias Runtime = Runtime_V1_RuntimeService.Method
  typealias Images = Runtime_V1_ImageService.Method
  typealias Node = Bulkhead_Operator_V1_Operator.Method

  func registerMethods<Transport: ServerTransport>(with router: inout RPCRouter<Transport>) {
    registerLists(&router)
    registerActions(&router)
    registerRun(&router)
    registerImages(&router)
    registerNode(&router)
  }

  private func unary<Transport: ServerTransport, In: Message, Out: Message>(
    _ router: inout RPCRouter<Transport>, _ method: MethodDescriptor,
    _ handler: @escaping @Sendable (In) async throws -> Out
  ) {
    router.registerHandler(
      forMethod: method, deserializer: ProtobufDeserializer<In>(), serializer: ProtobufSerializer<Out>()
    ) { request, _ in
      let single = try await ServerRequest(stream: request)
      return StreamingServerResponse(single: ServerResponse(message: try await handler(single.message)))
    }
  }

  private func streaming<Transport: ServerTransport, In: Message, Out: Message>(
    _ router: inout RPCRouter<Transport>, _ method: MethodDescriptor,
    _ handler: @escaping @Sendable (In) async throws -> [Out]
  ) {
    router.registerHandler(
      forMethod: method, deserializer: ProtobufDeserializer<In>(), serializer: ProtobufSerializer<Out>()
    ) { request, _ in
      let answers = try await handler(try await ServerRequest(stream: request).message)
      return StreamingServerResponse { writer in
        for answer in answers { try await writer.write(answer) }
        return [:]
      }
    }
  }

  // MARK: - Services

  private func registerLists<Transport: ServerTransport>(_ router: inout RPCRouter<Transport>) {
    unary(&router, Runtime.Version.descriptor) { (_: Runtime_V1_VersionRequest) in
      Runtime_V1_VersionResponse.with {
        $0.runtimeName = "bulkhead"
        $0.runtimeApiVersion = "v1"
      }
    }
    unary(&router, Runtime.Status.descriptor) { (_: Runtime_V1_StatusRequest) in
      Runtime_V1_StatusResponse.with {
        $0.status.conditions = [
          .with {
            $0.type = "RuntimeReady"
            $0.status = true
          },
          .with {
            $0.type = "NetworkReady"
            $0.reason = "NetworkPluginNotReady"
            $0.message = "no CNI configuration"
          },
        ]
      }
    }
    unary(&router, Runtime.ListPodSandbox.descriptor) { [self] (request: Runtime_V1_ListPodSandboxRequest) in
      let selector = request.filter.labelSelector
      let pods = state.withLock { $0.pods }.filter { pod in selector.allSatisfy { pod.labels[$0.key] == $0.value } }
      return Runtime_V1_ListPodSandboxResponse.with { $0.items = pods }
    }
    unary(&router, Runtime.ListContainers.descriptor) { [self] (request: Runtime_V1_ListContainersRequest) in
      let pod = request.filter.podSandboxID
      let all = state.withLock { $0.containers }
      return Runtime_V1_ListContainersResponse.with {
        $0.containers = all.filter { pod.isEmpty || $0.podSandboxID == pod }
      }
    }
    unary(&router, Runtime.ContainerStatus.descriptor) { [self] (request: Runtime_V1_ContainerStatusRequest) in
      guard let status = state.withLock({ $0.statuses[request.containerID] }) else {
        throw RPCError(code: .notFound, message: "no container \(request.containerID)")
      }
      return Runtime_V1_ContainerStatusResponse.with { $0.status = status }
    }
  }

  private func registerActions<Transport: ServerTransport>(_ router: inout RPCRouter<Transport>) {
    unary(&router, Runtime.ExecSync.descriptor) { [self] (request: Runtime_V1_ExecSyncRequest) in
      state.withLock { $0.execs.append(request) }
      if request.cmd == ["sleep"] { try await Task.sleep(for: .seconds(60)) }
      return Runtime_V1_ExecSyncResponse.with {
        $0.stdout = Data("out\n".utf8)
        $0.stderr = Data("err\n".utf8)
        $0.exitCode = 42
      }
    }
    unary(&router, Runtime.StopPodSandbox.descriptor) { [self] (request: Runtime_V1_StopPodSandboxRequest) in
      state.withLock { $0.stopped.append(request.podSandboxID) }
      return Runtime_V1_StopPodSandboxResponse()
    }
    unary(&router, Runtime.RemovePodSandbox.descriptor) { [self] (request: Runtime_V1_RemovePodSandboxRequest) in
      state.withLock { state in
        state.removed.append(request.podSandboxID)
        state.pods.removeAll { $0.id == request.podSandboxID }
      }
      return Runtime_V1_RemovePodSandboxResponse()
    }
  }

  private func registerRun<Transport: ServerTransport>(_ router: inout RPCRouter<Transport>) {
    unary(&router, Runtime.RunPodSandbox.descriptor) { [self] (request: Runtime_V1_RunPodSandboxRequest) in
      let id = String(repeating: "9", count: 64)
      state.withLock { state in
        state.pods.append(
          .with {
            $0.id = id
            $0.metadata = request.config.metadata
            $0.labels = request.config.labels
            $0.annotations = ["log": request.config.logDirectory]
          })
      }
      return Runtime_V1_RunPodSandboxResponse.with { $0.podSandboxID = id }
    }
    unary(&router, Runtime.CreateContainer.descriptor) { [self] (request: Runtime_V1_CreateContainerRequest) in
      state.withLock { state in
        state.created.append(request)
        state.statuses["run"] = .with {
          $0.id = "run"
          $0.logPath = "\(request.sandboxConfig.logDirectory)/\(request.config.logPath)"
        }
      }
      return Runtime_V1_CreateContainerResponse.with { $0.containerID = "run" }
    }
    unary(&router, Runtime.StartContainer.descriptor) { [self] (request: Runtime_V1_StartContainerRequest) in
      let (program, path) = state.withLock { ($0.program, $0.statuses["run"]?.logPath ?? "") }
      if !program.startError.isEmpty {
        exit(128)
        throw RPCError(code: .failedPrecondition, message: program.startError)
      }
      let log = try ContainerLogWriter(path: path, statePath: path + ".state")
      state.withLock { $0.statuses["run"]?.state = .containerRunning }
      Task {
        try await write(program, log)
        if !program.endless { exit(program.exitCode) }
      }
      return Runtime_V1_StartContainerResponse()
    }
  }

  private func exit(_ code: Int32) {
    state.withLock { state in
      state.statuses["run"]?.state = .containerExited
      state.statuses["run"]?.exitCode = code
    }
  }

  private func write(_ program: Program, _ log: ContainerLogWriter) async throws {
    var offsets: [LogStream: UInt64] = [:]
    for (stream, text) in program.output {
      try log.append(stream: stream, offset: offsets[stream, default: 0], bytes: Array(text.utf8))
      offsets[stream, default: 0] += UInt64(text.utf8.count)
      try await Task.sleep(for: .milliseconds(20))
    }
    for stream in LogStream.allCases { try log.end(stream: stream) }
  }

  private func registerImages<Transport: ServerTransport>(_ router: inout RPCRouter<Transport>) {
    unary(&router, Images.ListImages.descriptor) { [self] (_: Runtime_V1_ListImagesRequest) in
      let images = state.withLock { $0.images }
      return Runtime_V1_ListImagesResponse.with { $0.images = images }
    }
    unary(&router, Images.ImageStatus.descriptor) { [self] (request: Runtime_V1_ImageStatusRequest) in
      let name = request.image.image
      let image = state.withLock { $0.images.first { $0.id == name || $0.repoTags.contains(name) } }
      return Runtime_V1_ImageStatusResponse.with { if let image { $0.image = image } }
    }
    unary(&router, Images.RemoveImage.descriptor) { [self] (request: Runtime_V1_RemoveImageRequest) in
      state.withLock { $0.removed.append(request.image.image) }
      return Runtime_V1_RemoveImageResponse()
    }
  }

  private func registerNode<Transport: ServerTransport>(_ router: inout RPCRouter<Transport>) {
    unary(&router, Node.InspectPod.descriptor) { [self] (request: Bulkhead_Operator_V1_InspectPodRequest) in
      var answer = state.withLock { $0.inspection }
      answer.id = request.podID
      return answer
    }
    unary(&router, Node.Version.descriptor) { (_: Bulkhead_Operator_V1_VersionRequest) in
      Bulkhead_Operator_V1_VersionResponse.with {
        $0.version = "1.2.3"
        $0.accelerator = "tcg"
        $0.acceleratorReason = "no /dev/kvm"
      }
    }
    streaming(&router, Node.Console.descriptor) { [self] (_: Bulkhead_Operator_V1_ConsoleRequest) in
      state.withLock { $0.console }.map { bytes in Bulkhead_Operator_V1_ConsoleChunk.with { $0.data = Data(bytes) } }
    }
    streaming(&router, Node.PullImage.descriptor) { [self] (request: Bulkhead_Operator_V1_PullImageRequest) in
      guard request.image != "none" else { throw RPCError(code: .notFound, message: "no such image\u{7}: none") }
      let id = "sha256:" + String(repeating: "c", count: 64)
      state.withLock { state in
        state.images.append(
          .with {
            $0.id = id
            $0.repoTags = [request.image]
          })
      }
      return [
        .with { $0.phase = "resolving" },
        .with {
          $0.phase = "downloading"
          $0.bytesDone = 1 << 20
          $0.bytesTotal = 4 << 20
          $0.layersTotal = 2
        },
        .with {
          $0.phase = "done"
          $0.imageID = id
        },
      ] as [Bulkhead_Operator_V1_PullImageProgress]
    }
  }
}
