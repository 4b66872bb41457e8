import CRI
import GRPCCore
import Pods

/// Metrics with the names and labels of the kubelet's /metrics/cadvisor, which shows them as they are.
extension RuntimeService {
  public func listMetricDescriptors(
    request: Runtime_V1_ListMetricDescriptorsRequest, context: ServerContext
  ) async throws -> Runtime_V1_ListMetricDescriptorsResponse {
    .with { $0.descriptors = MetricFamily.all.map(\.descriptor) }
  }

  public func listPodSandboxMetrics(
    request: Runtime_V1_ListPodSandboxMetricsRequest, context: ServerContext
  ) async throws -> Runtime_V1_ListPodSandboxMetricsResponse {
    let metrics = await allMetrics()
    return .with { $0.podMetrics = metrics }
  }

  public func streamPodSandboxMetrics(
    request: Runtime_V1_StreamPodSandboxMetricsRequest, response: RPCWriter<Runtime_V1_StreamPodSandboxMetricsResponse>,
    context: ServerContext
  ) async throws {
    // Each pod has hundreds: few pods a message.
    for pod in await allMetrics() { try await response.write(.with { $0.podSandboxMetrics = [pod] }) }
  }

  private func allMetrics() async -> [Runtime_V1_PodSandboxMetrics] {
    let ready = pods.podStatuses.filter { $0.state == .ready }.sorted { $0.id < $1.id }
    let usages = await pods.usage(of: ready.map(\.id), withDetails: true)
    let containers = Dictionary(grouping: pods.containerStatuses.filter { $0.state.isRunning }, by: \.podID)
    return ready.compactMap { pod in
      usages[pod.id].map { .init(pod, $0, (containers[pod.id] ?? []).sorted { $0.id < $1.id }) }
    }
  }
}

extension Runtime_V1_PodSandboxMetrics {
  init(_ pod: PodStatus, _ usage: PodUsage, _ containers: [ContainerStatus]) {
    self.init()
    podSandboxID = pod.id.text
    let place = [pod.spec.metadata.namespace, pod.spec.metadata.name]
    // As cAdvisor calls a pod's sandbox; queries that add up containers leave it out by that.
    metrics = Self.metrics(
      .init(usage: usage.total, container: nil, layer: nil, pod: usage),
      labels: ["POD", pod.id.text, "", pod.id.text] + place)
    containerMetrics = containers.compactMap { container in
      guard let own = usage.containers[container.id] else { return nil }
      let configuration = container.configuration
      let image = configuration.userSpecifiedImage.isEmpty ? configuration.image : configuration.userSpecifiedImage
      return .with {
        $0.containerID = container.id.text
        $0.metrics = Self.metrics(
          .init(usage: own.resources, container: container, layer: own, pod: usage),
          labels: [configuration.name, container.id.text, image, container.id.text] + place)
      }
    }
  }

  private static func metrics(_ subject: MetricFamily.Subject, labels: [String]) -> [Runtime_V1_Metric] {
    MetricFamily.all.flatMap { family in
      family.values(subject).map { value in
        .with {
          $0.name = family.name
          $0.timestamp = subject.pod.time
          $0.metricType = family.type
          $0.labelValues = labels + value.labels
          $0.value.value = value.number
        }
      }
    }
  }
}
