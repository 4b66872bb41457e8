import CRI
import Common
import Pods

/// The names of the CRI's Signal enum from SIGABRT (1) to SIGXFSZ (34), in its order. What follows, RTMIN
/// to RTMAX, is one more there than in Linux.
private let signalNames = [
  "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL", "PIPE", "POLL", "PROF",
  "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP", "TTIN", "TTOU", "URG", "USR1", "USR2",
  "VTALRM", "WINCH", "XCPU", "XFSZ",
]

/// Nil for "the runtime's default"; refuses numbers the CRI does not know.
func stopSignalNumber(_ signal: Runtime_V1_Signal) throws(BulkheadError) -> Int32? {
  if case .UNRECOGNIZED(let value) = signal { throw Validation.invalid("config.stop_signal", "is unknown: \(value)") }
  if signal == .runtimeDefault { return nil }
  let index = signal.rawValue - 1
  return index < signalNames.count ? LinuxSignal.numbers[signalNames[index]] : Int32(signal.rawValue - 1)
}

/// The CRI's name for a Linux signal; the default where it has none.
func signal(number: Int32) -> Runtime_V1_Signal {
  if LinuxSignal.realtime.contains(number) { return Runtime_V1_Signal(rawValue: Int(number) + 1) ?? .runtimeDefault }
  let index = signalNames.firstIndex { LinuxSignal.numbers[$0] == number }
  return index.flatMap { Runtime_V1_Signal(rawValue: $0 + 1) } ?? .runtimeDefault
}
