import Common
import Foundation
import OperatorAPI

/// What a pull has done so far, apart from how it is drawn.
struct PullStep: Equatable {
  var phase: String
  var done: UInt64
  /// 0 while unknown.
  var total: UInt64
  var layersDone: UInt32
  var layersTotal: UInt32
}

/// Draws a pull's progress on stderr: a bar that is redrawn where a person looks on, else a line
/// every few seconds and at each phase. Pure, but for what `PullDisplay` does with it.
struct ProgressText {
  private var first: (at: Int64, done: UInt64)?
  private var last: (at: Int64, phase: String)?
  private static let plainEvery: Int64 = 5_000_000_000
  private static let redrawEvery: Int64 = 50_000_000

  /// The line to print for `step` at a time in nanoseconds; nil where it is too soon.
  mutating func line(_ step: PullStep, at now: Int64, interval: Interval) -> String? {
    if first == nil, step.done > 0 || step.total > 0 { first = (now, step.done) }
    if let last, last.phase == step.phase, now - last.at < interval.nanoseconds { return nil }
    last = (now, step.phase)
    return interval == .bar ? bar(step, now) : plain(step, now)
  }

  enum Interval {
    case bar, plain
    var nanoseconds: Int64 { self == .bar ? redrawEvery : plainEvery }
  }

  private func plain(_ step: PullStep, _ now: Int64) -> String {
    ([printable(step.phase)] + figures(step, now)).joined(separator: "  ")
  }

  private func bar(_ step: PullStep, _ now: Int64) -> String {
    var parts = [printable(step.phase).padding(toLength: 12, withPad: " ", startingAt: 0)]
    if step.total > 0 {
      let share = min(1, Double(step.done) / Double(step.total))
      let filled = Int(share * 30)
      parts.append(String(repeating: "█", count: filled) + String(repeating: "░", count: 30 - filled))
      parts.append("\(Int(share * 100)) %")
    }
    return (parts + figures(step, now)).joined(separator: "  ")
  }

  private func figures(_ step: PullStep, _ now: Int64) -> [String] {
    guard step.done > 0 || step.total > 0 else { return [] }
    let done = ByteCount(bytes: step.done).description
    var parts = [step.total > 0 ? "\(done) of \(ByteCount(bytes: step.total))" : done]
    // What an interrupted pull had brought already is not counted as brought now.
    if let first, now > first.at, step.done > first.done {
      let rate = Double(step.done - first.done) * 1e9 / Double(now - first.at)
      parts.append("\(ByteCount(bytes: UInt64(min(rate, 1e15))))/s")
    }
    if step.layersTotal > 0 {
      parts.append("layer \(min(step.layersDone + 1, step.layersTotal)) of \(step.layersTotal)")
    }
    return parts
  }
}

/// `ProgressText` on a command's stderr.
struct PullDisplay {
  private let context: CommandContext
  private let silent: Bool
  private var text = ProgressText()
  private var drawn = false

  /// JSON is for programs: no progress.
  init(_ context: CommandContext, format: OutputFormat = .table) {
    self.context = context
    silent = format == .json
  }

  mutating func show(_ step: PullStep) {
    guard !silent else { return }
    let bar = context.output.errorIsTerminal
    guard let line = text.line(step, at: context.now(), interval: bar ? .bar : .plain) else { return }
    // Back to the line's begin, and what was longer before is erased.
    context.output.writeError(bar ? "\r\(line)\u{1b}[K" : "\(line)\n")
    drawn = bar
  }

  mutating func finish() {
    if drawn { context.output.writeError("\r\u{1b}[K") }
    drawn = false
  }
}

extension Daemon {
  /// Pulls, drawing the progress; returns the image's id.
  func pull(_ request: Bulkhead_Operator_V1_PullImageRequest, _ display: PullDisplay) async throws -> String {
    try await node.pullImage(request, options: patient) { response in
      var display = display
      defer { display.finish() }
      var id = ""
      for try await progress in response.messages {
        if !progress.imageID.isEmpty { id = progress.imageID }
        display.show(PullStep(progress))
      }
      guard !id.isEmpty else { throw CommandFailure("the daemon did not say which image it pulled") }
      return id
    }
  }
}

extension PullStep {
  init(_ progress: Bulkhead_Operator_V1_PullImageProgress) {
    phase = progress.phase
    done = progress.bytesDone
    total = progress.bytesTotal
    layersDone = progress.layersDone
    layersTotal = progress.layersTotal
  }
}
