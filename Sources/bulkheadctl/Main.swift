import BulkheadCLI
import ContainerLog
import Dispatch
import Foundation

/// Wires the command line to this process: its arguments, its output, its signals.
@main
struct Main {
  static func main() async {
    // A reader that goes away, `head` for instance, is an error of the write and not this process's end:
    // `run` has a pod to remove.
    signal(SIGPIPE, SIG_IGN)
    let context = CommandContext(
      output: Output(), environment: ProcessInfo.processInfo.environment, now: { LogTimestamp.now() })
    let command = Task { await runBulkheadctl(Array(CommandLine.arguments.dropFirst()), in: context) }
    let sources = interrupts(command)
    let code = await command.value
    withExtendedLifetime(sources) {}
    exit(code)
  }

  /// The first SIGINT, SIGTERM or SIGHUP lets the command clean up; the second ends it.
  private static func interrupts(_ command: Task<Int32, Never>) -> [any DispatchSourceSignal] {
    let queue = DispatchQueue(label: "signals")
    return [SIGINT, SIGTERM, SIGHUP].map { number in
      signal(number, SIG_IGN)
      let source = DispatchSource.makeSignalSource(signal: number, queue: queue)
      source.setEventHandler {
        if command.isCancelled {
          RawTerminal.restore()
          _exit(130)
        }
        command.cancel()
      }
      source.activate()
      return source
    }
  }
}
