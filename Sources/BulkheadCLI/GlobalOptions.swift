import ArgumentParser

/// What every command takes, before its name or after.
struct GlobalOptions: ParsableArguments {
  @Option(help: ArgumentHelp("The daemon's socket (default: $BULKHEAD_SOCKET, else \(GlobalOptions.defaultSocket))."))
  var socket: String?

  @Option(name: .shortAndLong, help: "How to print: table or json.")
  var output: OutputFormat = .table

  @Option(help: "How long a call to the daemon may take, as 10s or 2m (default: 2m; exec, run and pull: no limit).")
  var timeout: TimeSpan?

  static let defaultSocket = "/run/bulkhead/bulkhead.sock"
}

enum OutputFormat: String, ExpressibleByArgument, CaseIterable {
  case table, json
}

/// A duration as people type it: a number with ms, s, m, h or d, several in a row; seconds if bare.
struct TimeSpan: ExpressibleByArgument, Equatable {
  let duration: Duration

  init(_ duration: Duration) { self.duration = duration }

  init?(argument: String) {
    var milliseconds: Int64 = 0
    var rest = argument[...]
    repeat {
      let digits = rest.prefix { $0.isASCII && $0.isNumber }
      let unit = rest.dropFirst(digits.count).prefix { $0.isLetter }
      rest = rest.dropFirst(digits.count + unit.count)
      guard let number = Int64(digits), let factor = Self.milliseconds(unit),
        case (let part, false) = number.multipliedReportingOverflow(by: factor),
        case (let sum, false) = milliseconds.addingReportingOverflow(part)
      else { return nil }
      milliseconds = sum
    } while !rest.isEmpty
    duration = .milliseconds(milliseconds)
  }

  private static func milliseconds(_ unit: Substring) -> Int64? {
    switch unit {
    case "ms": 1
    case "", "s": 1000
    case "m": 60_000
    case "h": 3_600_000
    case "d": 86_400_000
    default: nil
    }
  }
}
