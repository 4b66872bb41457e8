import Common
import Foundation
import LinuxSystem
import Logging
import OCISpec

/// One pull from the name to the record.
struct ImagePull: Sendable {
  let store: ImageStore
  let key: PullKey
  let tally: PullTally

  init(store: ImageStore, key: PullKey, report: @escaping @Sendable (PullProgress) -> Void) {
    self.store = store
    self.key = key
    tally = PullTally(image: key.reference.description, logger: store.logger, report: report)
  }

  func run() async throws -> ImageRecord {
    tally.enter(.resolving)
    let started = ContinuousClock.now
    let hosts = HostsDirectory(path: store.configuration.registriesDirectory)
    let endpoints = try await onDedicatedThread { [domain = key.reference.domain] in try hosts.endpoints(for: domain) }
    let configuration = store.configuration
    let timeouts = RegistryHTTP.Timeouts(
      connect: configuration.connectTimeout, idleRead: configuration.idleTimeout, answer: configuration.idleTimeout)
    let proxies = try ProxySettings(environment: configuration.environment)
    let record = try await RegistryHTTP.withClients(timeouts: timeouts, proxies: proxies) { http in
      let client = RegistryClient(
        reference: key.reference, endpoints: endpoints, credentials: key.credentials, http: http,
        retries: RetryPolicy(attempts: configuration.attempts, firstWait: configuration.firstRetryWait),
        limits: ImageLimits(), logger: store.logger)
      return try await pull(from: client)
    }
    tally.enter(.done)
    store.logger.info(
      "pulled image \(key.reference)",
      metadata: ["image": "\(record.id)", "size": "\(record.size)", "took": "\(ContinuousClock.now - started)"])
    return record
  }

  private func pull(from client: RegistryClient) async throws -> ImageRecord {
    let image = try await ImageResolution(client: client).run()
    let names = [name(of: image)]
    return try await store.catalog.withLease(on: image.manifest.layers.map(\.content.digest)) {
      try await fetchLayers(image.manifest.layers, from: client)
      tally.enter(.assembling)
      return try await ImageAssembly(catalog: store.catalog, unpacker: store.unpacker).run(image, names: names)
    }
  }

  private func name(of image: ResolvedImage) -> ImageDatabase.Name {
    .init(text: key.reference.description, repository: key.reference.repository, manifest: image.digest)
  }

  /// All layers that are not here, `parallelLayers` at a time.
  private func fetchLayers(_ layers: [LayerContent], from client: RegistryClient) async throws {
    let missing = store.catalog.read { state in
      var seen: Set<Digest> = []
      return layers.filter { state.layers[$0.content.digest] == nil && seen.insert($0.content.digest).inserted }
    }
    tally.begin(total: Set(layers.map(\.content.digest)).count, missing: missing)
    try await store.checkFreeSpace(for: missing, of: key.reference.description)
    try await withThrowingTaskGroup(of: Void.self) { group in
      for (number, layer) in missing.enumerated() {
        if number >= store.configuration.parallelLayers { try await group.next() }
        group.addTask { try await fetch(layer, from: client) }
      }
      try await group.waitForAll()
    }
  }

  /// One layer, or the same one that another pull is fetching. Where that one fails, perhaps because its credentials
  /// do not do, this one tries itself.
  private func fetch(_ layer: LayerContent, from client: RegistryClient) async throws {
    let blob = layer.content.digest
    while true {
      let outcome = try await store.layerFetches.run(blob, onProgress: { tally.layer(blob, has: $0) }) { report in
        try await LayerFetch(catalog: store.catalog, unpacker: store.unpacker, logger: store.logger)
          .run(layer, from: client, report: report)
      }
      if case .failure = outcome.result, !outcome.isOwn { continue }
      try outcome.result.get()
      tally.layer(blob, has: layer.content.size)
      return tally.layerIsDone()
    }
  }
}
