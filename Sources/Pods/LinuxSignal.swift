import Common

/// Linux' signals by name and number (signal(7); the numbers of x86 and arm).
public enum LinuxSignal {
  public static let numbers: [String: Int32] = [
    "HUP": 1, "INT": 2, "QUIT": 3, "ILL": 4, "TRAP": 5, "ABRT": 6, "IOT": 6, "BUS": 7, "FPE": 8, "KILL": 9, "USR1": 10,
    "SEGV": 11, "USR2": 12, "PIPE": 13, "ALRM": 14, "TERM": 15, "STKFLT": 16, "CHLD": 17, "CLD": 17, "CONT": 18,
    "STOP": 19, "TSTP": 20, "TTIN": 21, "TTOU": 22, "URG": 23, "XCPU": 24, "XFSZ": 25, "VTALRM": 26, "PROF": 27,
    "WINCH": 28, "IO": 29, "POLL": 29, "PWR": 30, "SYS": 31, "RTMIN": 34, "RTMAX": 64,
  ]
  public static let term: Int32 = 15
  /// Real-time signals go from 34 to 64 for programs.
  public static let realtime: ClosedRange<Int32> = 34...64

  /// An image's StopSignal: "SIGTERM", "TERM", "15", "SIGRTMIN+3", "SIGRTMAX-1"; SIGTERM where it is empty.
  /// Throws `invalidArgument` for anything else.
  public static func number(named text: String) throws(BulkheadError) -> Int32 {
    if text.isEmpty { return term }
    if let number = Int32(text), (1...realtime.upperBound).contains(number) { return number }
    let upper = text.uppercased()
    let name = upper.hasPrefix("SIG") ? String(upper.dropFirst(3)) : upper
    if let number = numbers[name] { return number }
    if let number = realtimeNumber(name) { return number }
    throw BulkheadError(.invalidArgument, "the image's stop signal is unknown: \(printable(text, limit: 64))")
  }

  private static func realtimeNumber(_ name: String) -> Int32? {
    let number: Int32?
    if name.hasPrefix("RTMIN+") {
      number = Int32(name.dropFirst(6)).map { realtime.lowerBound &+ $0 }
    } else if name.hasPrefix("RTMAX-") {
      number = Int32(name.dropFirst(6)).map { realtime.upperBound &- $0 }
    } else {
      number = nil
    }
    return number.flatMap { realtime.contains($0) ? $0 : nil }
  }
}
