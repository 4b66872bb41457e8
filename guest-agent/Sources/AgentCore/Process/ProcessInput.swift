import CGuest
import Glibc
import LinuxSystem
import Synchronization

/// The standard input of a process: a pipe's end, or a terminal's master. Several may write at once.
final class ProcessInput: Sendable {
  private let descriptor: AsyncDescriptor
  private let isTerminal: Bool
  /// Whether a terminal's last line is unfinished.
  private let insideLine = Atomic(false)

  init(_ descriptor: AsyncDescriptor, isTerminal: Bool) {
    self.descriptor = descriptor
    self.isTerminal = isTerminal
  }

  /// Returns when all of `bytes` is in the pipe. Throws `SystemError`, EPIPE when nobody reads any more and
  /// EBADF after the end.
  func write(_ bytes: UnsafeRawBufferPointer) async throws {
    guard let last = bytes.last else { return }
    try await descriptor.write(bytes)
    insideLine.store(last != UInt8(ascii: "\n"), ordering: .relaxed)
  }

  /// The process reads end of file. A terminal has none, but for the character by which people say so: the
  /// line it is in is given to the reader by the first, and an empty line, the end, by the second. A program
  /// that reads its terminal raw has its own ways.
  func end() async {
    guard isTerminal else { return close() }
    var character: UInt8 = 0
    descriptor.withDescriptor { character = guest_terminal_end_of_file($0) }
    guard character != 0 else { return }
    let characters = [UInt8](repeating: character, count: insideLine.load(ordering: .relaxed) ? 2 : 1)
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: characters.count, alignment: 1)
    defer { buffer.deallocate() }
    buffer.copyBytes(from: characters)
    try? await descriptor.write(UnsafeRawBufferPointer(buffer))
  }

  /// Lets go of the descriptor: end of file for the reader of a pipe.
  func close() { descriptor.close() }
}
