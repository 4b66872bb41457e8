import Common

/// What tells a pull that broke off from one that can't succeed.
enum PullBreak {
  /// Whether what has come is worth keeping: the registry went out of reach, and nothing was wrong with the bytes.
  static func isPassing(_ error: any Error) -> Bool { (error as? BulkheadError)?.code == .unavailable }
}
