import CRI
import Common
import Foundation
import Pods
import Testing

@testable import CRIServer

@Suite struct PodTranslationTests {
  private func request(_ change: (inout Runtime_V1_PodSandboxConfig) -> Void = { _ in })
    -> Runtime_V1_RunPodSandboxRequest
  {
    .with {
      $0.config.metadata.name = "web"
      $0.config.metadata.namespace = "shop"
      $0.config.metadata.uid = "u"
      change(&$0.config)
    }
  }

  private func refusal(_ request: Runtime_V1_RunPodSandboxRequest) -> BulkheadError? {
    #expect(throws: BulkheadError.self) { try podSpec(request) }
  }

  @Test func aPlainPodIsTaken() throws {
    let spec = try podSpec(
      request {
        $0.dnsConfig.servers = ["10.0.0.10"]
        $0.dnsConfig.searches = ["shop.svc", "svc"]
        $0.dnsConfig.options = ["ndots:5"]
      })
    #expect(spec.metadata.displayName == "shop/web")
    #expect(spec.hostname == "web")
    #expect(spec.resolvConf == "search shop.svc svc\nnameserver 10.0.0.10\noptions ndots:5\n")
    #expect(spec.pidMode == .pod)
  }

  @Test func portsAndRates() throws {
    func mapping(_ container: Int32, _ host: Int32) -> Runtime_V1_PortMapping {
      .with {
        $0.protocol = .udp
        ($0.containerPort, $0.hostPort, $0.hostIp) = (container, host, "192.0.2.1")
      }
    }
    let spec = try podSpec(
      request {
        // Without a port of the node there is nothing to map.
        $0.portMappings = [mapping(53, 5353), mapping(80, 0)]
        $0.annotations = ["kubernetes.io/egress-bandwidth": "1.5M", "kubernetes.io/ingress-bandwidth": "2Ki"]
      })
    #expect(
      spec.network?.portMappings == [.init(transport: .udp, containerPort: 53, hostPort: 5353, hostIP: "192.0.2.1")])
    #expect(spec.network?.egressRate == 1_500_000 && spec.network?.ingressRate == 2048)
    for (container, host) in [(0, 1), (65536, 1), (-1, 1), (1, 65536), (1, -1)] as [(Int32, Int32)] {
      #expect(refusal(request { $0.portMappings = [mapping(container, host)] })?.message.contains("port") == true)
    }
    for rate in ["", "1", "M", "-5M", "1e9", "1Mi5", "99999999T"] {
      let annotated = request { $0.annotations["kubernetes.io/egress-bandwidth"] = rate }
      #expect(refusal(annotated)?.message.contains("egress-bandwidth") == true, "\(rate)")
    }
  }

  @Test func missingMetadataIsNamed() {
    #expect(refusal(.init())?.message.contains("metadata") == true)
    #expect(refusal(request { $0.metadata.name = "" })?.message.contains("metadata.name") == true)
    #expect(refusal(request { $0.metadata.name = "a\nb" })?.code == .invalidArgument)
    #expect(refusal(request { $0.metadata.namespace = String(repeating: "n", count: 300) })?.code == .invalidArgument)
  }

  @Test func pathsMustBeAbsoluteAndCannotClimb() {
    #expect(refusal(request { $0.logDirectory = "relative" })?.message.contains("log_directory") == true)
    #expect(refusal(request { $0.logDirectory = "/var/../etc" })?.code == .invalidArgument)
  }

  @Test func theNodesNetworkIsRefusedWithAWayOut() {
    let error = refusal(request { $0.linux.securityContext.namespaceOptions.network = .node })
    #expect(error?.message.contains("another runtime class") == true)
  }

  @Test func dnsEntriesCannotSmuggleLines() {
    #expect(refusal(request { $0.dnsConfig.servers = ["1.1.1.1\nnameserver 6.6.6.6"] })?.code == .invalidArgument)
  }

  @Test func resourcesAndOverheadAreTaken() throws {
    let spec = try podSpec(
      request {
        $0.linux.resources.cpuQuota = 150_000
        $0.linux.resources.cpuPeriod = 100_000
        $0.linux.resources.memoryLimitInBytes = 100
        $0.linux.overhead.memoryLimitInBytes = 28
      })
    #expect(spec.resources == PodResources(milliCPU: 1500, memoryBytes: 100, overheadBytes: 28))
    #expect(refusal(request { $0.linux.resources.memoryLimitInBytes = -5 })?.code == .invalidArgument)
  }
}

@Suite struct ResourceTranslationTests {
  private typealias Resources = Runtime_V1_LinuxContainerResources

  @Test(arguments: [
    Resources.with { $0.cpuShares = -1 }, .with { $0.cpuQuota = -2 }, .with { $0.cpuPeriod = -1 },
    .with { $0.memoryLimitInBytes = -1 }, .with { $0.memoryLimitInBytes = 4096 },
    .with { $0.memoryLimitInBytes = .min },
    .with { $0.memorySwapLimitInBytes = -2 }, .with { $0.oomScoreAdj = 1001 }, .with { $0.oomScoreAdj = .min },
  ])
  func absurdLimitsAreRefused(_ resources: Runtime_V1_LinuxContainerResources) {
    #expect(#expect(throws: BulkheadError.self) { try containerResources(resources) }?.code == .invalidArgument)
  }

  @Test func anUpdateNamesOnlyWhatChanges() throws {
    #expect(try resourceChanges(.init()) == ContainerResourceChanges())
    let changes = try resourceChanges(
      .with {
        $0.memoryLimitInBytes = -1
        $0.cpuQuota = -1
        $0.cpuShares = 512
      })
    #expect(changes.memoryLimitBytes == 0 && changes.cpuQuotaMicroseconds == 0 && changes.cpuShares == 512)
    #expect(changes.cpuPeriodMicroseconds == nil && changes.cpusetCPUs == nil)
    #expect(throws: BulkheadError.self) { try resourceChanges(.with { $0.memoryLimitInBytes = -2 }) }
  }

  @Test func podsResourcesThatOverflowAreRefused() throws {
    #expect(try podResources(nil, overhead: nil) == nil)
    #expect(throws: BulkheadError.self) {
      try podResources(
        .with {
          $0.cpuQuota = .max; $0.cpuPeriod = 1
        }, overhead: nil)
    }
    let pages = Runtime_V1_HugepageLimit.with {
      $0.pageSize = "2MB"; $0.limit = .max
    }
    #expect(throws: BulkheadError.self) {
      try podResources(.with { $0.hugepageLimits = [pages, pages] }, overhead: nil)
    }
    #expect(try podResources(.with { $0.cpuShares = .max }, overhead: nil)?.requestedMilliCPU == .max)
    #expect(try podResources(.with { $0.cpuShares = 2 }, overhead: nil)?.requestedMilliCPU == nil)
  }
}

@Suite struct MetricTests {
  @Test func everyMetricHasANameOfItsOwnAndAsManyValuesAsLabels() {
    #expect(Set(MetricFamily.all.map(\.name)).count == MetricFamily.all.count)
    for descriptor in MetricFamily.all.map(\.descriptor) {
      #expect(descriptor.name.hasPrefix("container_") && !descriptor.help.isEmpty)
      #expect(Array(descriptor.labelKeys.prefix(6)) == ["container", "id", "image", "name", "namespace", "pod"])
    }
  }
}

@Suite struct ContainerTranslationTests {
  private func config(_ change: (inout Runtime_V1_ContainerConfig) -> Void = { _ in }) -> Runtime_V1_ContainerConfig {
    .with {
      $0.metadata.name = "c"
      $0.image.image = "busybox"
      change(&$0)
    }
  }

  private func refusal(_ change: (inout Runtime_V1_ContainerConfig) -> Void) -> BulkheadError? {
    #expect(throws: BulkheadError.self) { try containerConfiguration(config(change)) }
  }

  /// A uid past 2^32 must not come out as root.
  @Test(arguments: [-1, 1 << 31, 1 << 32, Int64(UInt32.max), .max, .min])
  func absurdUserIDsAreRefused(_ uid: Int64) {
    #expect(refusal { $0.linux.securityContext.runAsUser.value = uid }?.message.contains("run_as_user") == true)
    #expect(refusal { $0.linux.securityContext.supplementalGroups = [uid] }?.code == .invalidArgument)
  }

  @Test func usersAreTakenAsAsked() throws {
    #expect(try containerConfiguration(config()).user == .image)
    let both = config {
      $0.linux.securityContext.runAsUser.value = 7
      $0.linux.securityContext.runAsGroup.value = 8
    }
    #expect(try containerConfiguration(both).user == .id(uid: 7, gid: 8))
    #expect(refusal { $0.linux.securityContext.runAsGroup.value = 8 }?.message.contains("run_as_group") == true)
  }

  @Test func logPathsStayBelowTheLogDirectory() {
    #expect(refusal { $0.logPath = "../../etc/passwd" }?.code == .invalidArgument)
    #expect(refusal { $0.logPath = "/etc/passwd" }?.code == .invalidArgument)
  }

  @Test func environmentNamesAreChecked() {
    #expect(refusal { $0.envs = [.with { $0.key = "A=B" }] }?.code == .invalidArgument)
    #expect(
      refusal {
        $0.envs = [
          .with {
            $0.key = "A"; $0.value = Data([65, 0])
          }
        ]
      }?.code == .invalidArgument)
  }

  @Test func everySignalGoesThereAndBack() throws {
    for signal in Runtime_V1_Signal.allCases where signal != .runtimeDefault {
      let number = try #require(try stopSignalNumber(signal))
      #expect(try stopSignalNumber(CRIServer.signal(number: number)) == number)
    }
    #expect(try stopSignalNumber(.sigterm) == 15)
    #expect(try stopSignalNumber(.sigrtmin) == 34)
    #expect(try stopSignalNumber(.sigrtmax) == 64)
    #expect(throws: BulkheadError.self) { try stopSignalNumber(.UNRECOGNIZED(99)) }
  }

  @Test func noSeccompProfileMeansUnconfined() throws {
    #expect(try containerConfiguration(config()).seccomp == .unconfined)
    let asked = config { $0.linux.securityContext.seccomp.profileType = .runtimeDefault }
    #expect(try containerConfiguration(asked).seccomp == .runtimeDefault)
  }
}
