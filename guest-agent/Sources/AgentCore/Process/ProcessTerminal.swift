import CGuest
import LinuxSystem

/// A process' terminal, to set its size. Its own descriptor of the master: the terminal hangs up when this
/// and those of the process' input and output are closed.
final class ProcessTerminal: Sendable {
  private let descriptor: AsyncDescriptor

  init(_ descriptor: AsyncDescriptor) { self.descriptor = descriptor }

  /// The foreground processes get SIGWINCH.
  func resize(columns: UInt32, rows: UInt32) {
    descriptor.withDescriptor { _ = guest_terminal_resize($0, UInt16(clamping: columns), UInt16(clamping: rows)) }
  }

  func close() { descriptor.close() }
}
