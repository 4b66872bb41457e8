import Common

/// What a pod said before: from it follow rates, and what is told of a guest that does not answer.
struct UsageHistory {
  /// As the guest answered last.
  private(set) var last: PodUsage?
  /// How long the guest gets for the next answer. One that let us wait gets little until it answers in time again.
  private(set) var patience = Self.long

  private static let long = Duration.seconds(1)
  private static let short = Duration.milliseconds(200)
  /// Rates over less would be noise.
  private static let shortestWindow = Duration.milliseconds(900)

  private struct Sample {
    var time: ContinuousClock.Instant
    var cpuNanoseconds: UInt64
    var rate: UInt64?
  }

  private var total: Sample?
  private var containers: [ContainerID: Sample] = [:]

  /// Takes an answer that the guest needed `duration` for, and gives it back with its rates.
  mutating func add(_ usage: PodUsage, at time: ContinuousClock.Instant, after duration: Duration = .zero) -> PodUsage {
    var usage = usage
    patience = duration <= Self.long ? Self.long : Self.short
    total = next(total, &usage.total, time)
    var samples: [ContainerID: Sample] = [:]
    for (id, var container) in usage.containers {
      samples[id] = next(containers[id], &container.resources, time)
      usage.containers[id] = container
    }
    containers = samples
    last = usage
    return usage
  }

  mutating func didNotAnswer() { patience = Self.short }

  private func next(_ before: Sample?, _ usage: inout ResourceUsage, _ time: ContinuousClock.Instant) -> Sample {
    let now = Sample(time: time, cpuNanoseconds: usage.cpuNanoseconds, rate: nil)
    guard var before else { return now }
    guard before.time.duration(to: time) >= Self.shortestWindow else {
      usage.cpuNanoCores = before.rate
      return before
    }
    before.rate = rate(before, now)
    usage.cpuNanoCores = before.rate
    return Sample(time: time, cpuNanoseconds: usage.cpuNanoseconds, rate: before.rate)
  }

  /// Nil for a counter that went back, which only a guest that lies has.
  private func rate(_ before: Sample, _ now: Sample) -> UInt64? {
    guard now.cpuNanoseconds >= before.cpuNanoseconds else { return nil }
    let elapsed = Double((now.time - before.time) / .nanoseconds(1))
    let rate = Double(now.cpuNanoseconds - before.cpuNanoseconds) / elapsed * 1e9
    return UInt64(exactly: rate.rounded())
  }
}
