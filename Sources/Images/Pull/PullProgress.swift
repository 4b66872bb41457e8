import Common
import Logging
import Synchronization

/// How far a pull is. Bytes are those of packed layers that are not here yet.
public struct PullProgress: Hashable, Sendable {
  public enum Phase: String, Hashable, Sendable {
    case resolving, downloading, assembling, done
  }

  public var phase = Phase.resolving
  public var bytesDone: UInt64 = 0
  public var bytesTotal: UInt64 = 0
  public var layersDone = 0
  public var layersTotal = 0

  public init() {}
}

/// Adds up the progress of one pull's layers, passes it on, and logs now and then when it takes long.
final class PullTally: Sendable {
  private struct State {
    var progress = PullProgress()
    var layers: [Digest: UInt64] = [:]
    var nextLog: ContinuousClock.Instant
  }

  private let state: Mutex<State>
  private let image: String
  private let logger: Logger
  private let report: @Sendable (PullProgress) -> Void
  private static let logInterval = Duration.seconds(10)

  init(image: String, logger: Logger, report: @escaping @Sendable (PullProgress) -> Void) {
    self.image = image
    self.logger = logger
    self.report = report
    state = Mutex(State(nextLog: .now + Self.logInterval))
  }

  /// The layers of an image are known: their transfer begins. An archive may bring several images.
  func begin(total layers: Int, missing: [LayerContent]) {
    update { state in
      state.progress.phase = .downloading
      state.progress.layersTotal += layers
      state.progress.layersDone += layers - missing.count
      state.progress.bytesTotal = missing.reduce(state.progress.bytesTotal) { $0 &+ $1.content.size }
    }
  }

  func layer(_ blob: Digest, has bytes: UInt64) {
    update { state in
      state.layers[blob] = bytes
      state.progress.bytesDone = state.layers.values.reduce(0, &+)
    }
  }

  func layerIsDone() { update { $0.progress.layersDone += 1 } }

  func enter(_ phase: PullProgress.Phase) { update { $0.progress.phase = phase } }

  private func update(_ change: (inout State) -> Void) {
    let (progress, isLogTime) = state.withLock { state in
      change(&state)
      let isLogTime = ContinuousClock.now >= state.nextLog
      if isLogTime { state.nextLog = .now + Self.logInterval }
      return (state.progress, isLogTime)
    }
    report(progress)
    guard isLogTime else { return }
    let (done, total) = (ByteCount(bytes: progress.bytesDone), ByteCount(bytes: progress.bytesTotal))
    logger.info(
      "pulling \(image): \(done) of \(total), \(progress.layersDone) of \(progress.layersTotal) layers",
      metadata: ["phase": "\(progress.phase)"])
  }
}
