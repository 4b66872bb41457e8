import Common
import Glibc
import LinuxSystem

/// The world that a command sees. Tests give it another one.
public struct CommandContext: Sendable {
  let output: Output
  /// Where what the user types comes from.
  let input: Int32
  let environment: [String: String]
  /// Nanoseconds since 1970.
  let now: @Sendable () -> Int64

  public init(
    output: Output, input: Int32 = STDIN_FILENO, environment: [String: String], now: @escaping @Sendable () -> Int64
  ) {
    self.output = output
    self.input = input
    self.environment = environment
    self.now = now
  }

  /// One line on stderr, with the program's name.
  func complain(_ message: String) { output.writeError("bulkheadctl: \(message)\n") }
}

/// Where a command prints. Writes go straight to the descriptors and may block as they do.
public struct Output: Sendable {
  private let standardOutput: Int32
  private let standardError: Int32
  /// Whether a person sees stderr, where progress is drawn.
  let errorIsTerminal: Bool

  public init(standardOutput: Int32 = STDOUT_FILENO, standardError: Int32 = STDERR_FILENO) {
    self.standardOutput = standardOutput
    self.standardError = standardError
    errorIsTerminal = isatty(standardError) == 1
  }

  func write(_ text: String) throws { try write(Array(text.utf8)) }
  func write(_ bytes: [UInt8]) throws { try Self.write(bytes, standardOutput) }
  /// What can't be said on stderr can be said nowhere.
  func writeError(_ text: String) { try? Self.write(Array(text.utf8), standardError) }
  func writeError(_ bytes: [UInt8]) throws { try Self.write(bytes, standardError) }

  private static func write(_ bytes: [UInt8], _ descriptor: Int32) throws {
    do { try writeAll(bytes, to: descriptor) } catch  where error.number == EPIPE {
      throw OutputClosed()
    } catch {
      throw CommandFailure("can't write the output: \(error)")
    }
  }
}

/// Nobody reads the output any more.
struct OutputClosed: Error {}

/// A program that `exec` or `run` ran has ended with this code, and so does bulkheadctl.
struct ProgramExit: Error {
  let code: Int32
}

/// What a user is told when a command fails.
struct CommandFailure: Error {
  let message: String
  init(_ message: String) { self.message = message }
}
