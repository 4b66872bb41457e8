/// Records how long each step of RunPodSandbox took, steps that run side by side among them.
actor PhaseClock {
  private let start = ContinuousClock.now
  private(set) var phases: [BootPhase] = []

  /// Runs one step and notes when it began and how long it took, also when it fails.
  nonisolated func measure<Result: Sendable>(
    _ name: String, _ step: @Sendable () async throws -> Result
  ) async throws -> Result {
    let began = ContinuousClock.now
    do {
      let result = try await step()
      await note(name, began)
      return result
    } catch {
      await note(name, began)
      throw error
    }
  }

  private func note(_ name: String, _ began: ContinuousClock.Instant) {
    let ended = ContinuousClock.now
    phases.append(
      BootPhase(
        name: name, startMicroseconds: (began - start).microseconds,
        durationMicroseconds: (ended - began).microseconds))
  }
}

extension Duration {
  fileprivate var microseconds: UInt64 {
    let parts = components
    return UInt64(max(parts.seconds, 0)) &* 1_000_000 &+ UInt64(max(parts.attoseconds, 0) / 1_000_000_000_000)
  }
}
