@preconcurrency import Dispatch
import Glibc

/// The size of the user's terminal, now and whenever it changes (SIGWINCH).
enum WindowSizes {
  static func follow(_ descriptor: Int32) -> AsyncStream<(columns: UInt32, rows: UInt32)> {
    AsyncStream(bufferingPolicy: .bufferingNewest(1)) { stream in
      let changed = DispatchSource.makeSignalSource(signal: SIGWINCH, queue: DispatchQueue(label: "window-size"))
      let tell: @Sendable () -> Void = { if let size = RawTerminal.size(of: descriptor) { stream.yield(size) } }
      changed.setEventHandler(handler: tell)
      stream.onTermination = { _ in changed.cancel() }
      changed.activate()
      tell()
    }
  }
}
