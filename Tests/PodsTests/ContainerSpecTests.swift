import Common
import Foundation
import Testing

@testable import Images
@testable import Pods

@Suite struct ContainerSpecTests {
  private func configuration(_ change: (inout ContainerConfiguration) -> Void = { _ in }) -> ContainerConfiguration {
    var configuration = ContainerConfiguration(
      name: "c", attempt: 0, image: "i", userSpecifiedImage: "", command: [], args: [], environment: [],
      workingDirectory: "", labels: [:], annotations: [:], logPath: "", stdin: false, stdinOnce: false,
      terminal: false, user: .image, supplementalGroups: [], mergeImageGroups: true, capabilities: .init(),
      privileged: false, noNewPrivileges: false, readonlyRootFilesystem: false, maskedPaths: ["/proc/kcore"],
      readonlyPaths: ["/proc/sys"], seccomp: .unconfined, pidMode: .pod, ipcMode: .pod,
      resources: ContainerResources(), stopSignal: nil)
    change(&configuration)
    return configuration
  }

  /// An image's configuration, by the fields of its document.
  private func image(_ fields: String) throws -> ImageConfig {
    let document = """
      {"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": []}, "config": {\(fields)}}
      """
    return try ImageConfig(Data(document.utf8), platform: PlatformChoice())
  }

  private func build(
    _ image: ImageConfig, _ change: (inout ContainerConfiguration) -> Void = { _ in }
  ) throws -> [String] {
    let builder = ContainerSpecBuilder(
      pod: exampleSpec(), configuration: configuration(change), image: image, pidsLimit: 0, rlimits: [])
    return try builder.build().process.args.map { String(decoding: $0, as: UTF8.self) }
  }

  private static let program = #""Entrypoint": ["/entry"], "Cmd": ["cmd"]"#

  /// The table of Kubernetes' documentation on command and args.
  @Test func commandAndArgsReplaceEntrypointAndCmd() throws {
    let image = try image(Self.program)
    #expect(try build(image) == ["/entry", "cmd"])
    #expect(try build(image) { $0.command = ["/mine"] } == ["/mine"])
    #expect(try build(image) { $0.args = ["a"] } == ["/entry", "a"])
    #expect(
      try build(image) {
        $0.command = ["/mine"]
        $0.args = ["a"]
      } == ["/mine", "a"])
  }

  @Test func nothingToRunIsRefused() throws {
    let empty = try image("")
    let error = #expect(throws: BulkheadError.self) { try build(empty) }
    #expect(error?.code == .invalidArgument)
  }

  @Test func theClientsEnvironmentGoesOverTheImagesAndMayBeAnyBytes() throws {
    let image = try image(#""Env": ["A=image", "PATH=/x"], "# + Self.program)
    let builder = ContainerSpecBuilder(
      pod: exampleSpec(),
      configuration: configuration { $0.environment = [.init(name: "A", value: [0xff, 0xfe])] },
      image: image, pidsLimit: 0, rlimits: [])
    let environment = try builder.build().process.env
    #expect(environment.contains(Data("PATH=/x".utf8)))
    #expect(environment.contains(Data("A=".utf8) + Data([0xff, 0xfe])))
    #expect(environment.contains(Data("HOSTNAME=web".utf8)))
    #expect(environment.count == 3)
  }

  @Test func capabilitiesAreAddedAndDropped() throws {
    let image = try image(Self.program)
    func bounding(_ add: [String], _ drop: [String]) throws -> Set<String> {
      let builder = ContainerSpecBuilder(
        pod: exampleSpec(), configuration: configuration { $0.capabilities = .init(add: add, drop: drop) },
        image: image, pidsLimit: 0, rlimits: [])
      return Set(try builder.build().process.capabilities.bounding)
    }
    #expect(try bounding(["NET_ADMIN"], []) == Set(DefaultSpec.capabilities + ["CAP_NET_ADMIN"]))
    #expect(try bounding([], ["ALL"]).isEmpty)
    #expect(try bounding(["CHOWN"], ["all"]) == ["CAP_CHOWN"])
    #expect(try bounding(["ALL"], ["SYS_ADMIN"]) == Set(DefaultSpec.allCapabilities).subtracting(["CAP_SYS_ADMIN"]))
    #expect(throws: BulkheadError.self) { try bounding(["NO_SUCH"], []) }
  }

  @Test func privilegedHasEverythingAndNoMasks() throws {
    let image = try image(Self.program)
    let builder = ContainerSpecBuilder(
      pod: exampleSpec(),
      configuration: configuration {
        $0.privileged = true
        $0.seccomp = .runtimeDefault
      }, image: image, pidsLimit: 0, rlimits: [])
    let spec = try builder.build()
    #expect(spec.process.capabilities.effective == DefaultSpec.allCapabilities)
    #expect(spec.linux.maskedPaths.isEmpty && spec.linux.readonlyPaths.isEmpty)
    #expect(!spec.linux.hasSeccomp)
  }
}

@Suite struct StopSignalTests {
  @Test(
    arguments: [("", 15), ("SIGTERM", 15), ("quit", 3), ("9", 9), ("SIGRTMIN+3", 37), ("RTMAX-1", 63)]
      as [(String, Int32)])
  func namesAndNumbers(_ text: String, _ number: Int32) throws {
    #expect(try LinuxSignal.number(named: text) == number)
  }

  @Test(arguments: ["0", "65", "-1", "SIGNOPE", "SIGRTMIN+40", "99999999999"])
  func nonsenseIsRefused(_ text: String) {
    #expect(throws: BulkheadError.self) { try LinuxSignal.number(named: text) }
  }
}

@Suite struct MachineSizeTests {
  private let configuration = PodsConfiguration(
    stateDirectory: "/s", runDirectory: "/r", bootTimeout: .seconds(1), scratchSize: .gibibytes(1), defaultVCPUs: 1,
    defaultMemory: .mebibytes(256), maximumVCPUs: 4, maximumMemory: .gibibytes(2), firstUID: 1, uidCount: 1,
    pidsLimit: 0, rlimits: [], logLineMaximum: 16384)

  @Test func thePodsResourcesDecideWithinTheNodesBounds() {
    let none = MachineSize(nil, configuration)
    #expect(none.vcpus == 1 && none.memory == .mebibytes(256))
    let some = MachineSize(PodResources(milliCPU: 1500, memoryBytes: 512 << 20), configuration)
    #expect(some.vcpus == 2 && some.memory == .mebibytes(640))
    let absurd = MachineSize(
      PodResources(
        milliCPU: .max, memoryBytes: .max, hugepageBytes: .max, overheadMilliCPU: .max, overheadBytes: .max),
      configuration)
    #expect(absurd.vcpus == 4 && absurd.memory == .gibibytes(2))
  }
}

extension MachineSizeTests {
  private func size(_ resources: PodResources) -> MachineSize { MachineSize(resources, configuration) }

  @Test func overheadPaysForTheGuestAndForQEMU() {
    let limit: UInt64 = 512 << 20
    #expect(size(PodResources(memoryBytes: limit, overheadBytes: 160 << 20)).memory == .mebibytes(512 + 128))
    #expect(size(PodResources(memoryBytes: limit, overheadBytes: 352 << 20)).memory == .mebibytes(512 + 256))
    #expect(size(PodResources(memoryBytes: limit, hugepageBytes: 64 << 20)).memory == .mebibytes(512 + 64 + 128))
    #expect(size(PodResources(milliCPU: 900, overheadMilliCPU: 100)).vcpus == 1)
    #expect(size(PodResources(milliCPU: 1900, overheadMilliCPU: 200)).vcpus == 3)
  }

  @Test func aRequestWithoutLimitIsFulfilled() {
    #expect(size(PodResources(requestedMilliCPU: 2500)).vcpus == 3)
    #expect(size(PodResources(requestedMilliCPU: 100)).vcpus == 1)
    #expect(size(PodResources(milliCPU: 1000, requestedMilliCPU: 500)).vcpus == 1)
    #expect(size(PodResources(requestedMilliCPU: 100)).memory == .mebibytes(256))
  }
}

@Suite struct PrefixTests {
  @Test func uniquePrefixesResolveAndAmbiguousOnesAreRefused() throws {
    let a = try #require(PodID(String(repeating: "a", count: 64)))
    let b = try #require(PodID("ab" + String(repeating: "0", count: 62)))
    let items = [a: 1, b: 2]
    #expect(try resolve("aa", in: items, what: "pod") == a)
    #expect(try resolve(b.text, in: items, what: "pod") == b)
    #expect(throws: BulkheadError.self) { try resolve("a", in: items, what: "pod") }
    #expect(throws: BulkheadError.self) { try resolve("", in: items, what: "pod") }
    #expect(#expect(throws: BulkheadError.self) { try resolve("f", in: items, what: "pod") }?.code == .notFound)
  }
}
