import AgentProtocol
import Common
import Hypervisor
import LinuxSystem
import PodNetwork

/// A machine whose agent has answered, before anything of the pod is in it.
struct Booted: Sendable {
  let machine: any VirtualMachine
  let agent: AgentConnection
  let health: Bulkhead_Agent_V1_HealthResponse
}

extension Pod {
  private enum Half: Sendable {
    case attached(NodeNetwork.Attached)
    case booted(Booted)
  }

  /// Boots a virtual machine and attaches the pod to its networks, side by side: a machine boots knowing
  /// nothing of its pod, so only the slower of the two is paid for.
  func start(_ clock: PhaseClock) async throws -> (Booted, PodNetworkSetup) {
    let cards = try await prepare(clock)
    var attached = NodeNetwork.Attached()
    var booted: Booted?
    do {
      try await withThrowingTaskGroup(of: Half.self) { group in
        group.addTask { .attached(try await clock.measure("network") { try await self.attachNetwork() }) }
        group.addTask { .booted(try await self.boot(cards: cards, clock)) }
        var failure: (any Error)?
        // To the last, so that no machine's connection is forgotten.
        while let half = await group.nextResult() {
          switch half {
          case .success(.attached(let result)): attached = result
          case .success(.booted(let result)): booted = result
          case .failure(let error):
            failure = failure ?? error
            group.cancelAll()
          }
        }
        if let failure { throw failure }
      }
      if let machine = booted, attached.interfaces.count > cards {
        booted = nil
        booted = try await rebirth(machine, cards: cards, needed: attached.interfaces.count, clock)
      }
      guard let booted else { throw CancellationError() }
      return (booted, try await clock.measure("join network") { [attached] in try await self.joinNetwork(attached) })
    } catch {
      await booted?.agent.close()
      throw error
    }
  }

  /// What the machine is started from. Answers how many network cards it is to have.
  private func prepare(_ clock: PhaseClock) async throws -> Int {
    let configuration = services.configuration
    try makeDirectories(configuration.podDirectory(id), mode: 0o700)
    let cards = try await services.network.expectedInterfaces()
    async let scratch: Void = clock.measure("scratch disk") { [self, record, services] in
      try await services.scratch.create(at: configuration.scratchDisk(id), owner: record.uid)
    }
    async let namespace: Void = clock.measure("network namespace") { try await self.makeNamespace(cards: cards) }
    async let cgroup: Void = makeCgroup()
    _ = try await (scratch, namespace, cgroup)
    return cards
  }

  private func boot(cards: Int, _ clock: PhaseClock) async throws -> Booted {
    let description = machineDescription(cards: cards)
    let machine = try await clock.measure("vm start") { [self, services] in
      let machine = try await services.hypervisor.start(description)
      try await confine(machine)
      return machine
    }
    let agent = AgentConnection(machine: machine, secret: record.secret, podName: record.spec.metadata.displayName)
    let limit = services.configuration.bootTimeout
    do {
      let health = try await stoppingEarly(machine) {
        try await clock.measure("guest boot") { try await agent.waitUntilServing(limit: limit) }
      }
      return Booted(machine: machine, agent: agent, health: health)
    } catch {
      await agent.close()
      throw error
    }
  }

  /// Starts the machine again with more network cards: plugins made more interfaces than pods of this node
  /// had until now, which nobody can know before. From then on machines are born with as many.
  private func rebirth(_ former: Booted, cards: Int, needed: Int, _ clock: PhaseClock) async throws -> Booted {
    await former.agent.close()
    try await former.machine.destroy()
    try await services.hypervisor.release(id)
    try await makeTaps(cards..<needed)
    return try await boot(cards: needed, clock)
  }
}
