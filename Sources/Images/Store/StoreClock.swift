import Common
import Foundation

/// The store's time, nanoseconds since 1970.
enum StoreClock {
  static var now: Int64 { Int64(Date().timeIntervalSince1970 * 1_000_000_000) }

  /// What broken pulls left is kept for a day.
  static var oldestKept: Int64 { now - 86_400 * 1_000_000_000 }
}

extension StorePaths {
  /// Deletes downloads that nobody has gone on with for a day, and what is no download. Blocks.
  func removeOldPartials() {
    for name in StoreFiles.names(in: ingest) {
      let path = "\(ingest)/\(name)"
      guard Digest(hex: name) == nil || StoreFiles.modified(path) ?? 0 < StoreClock.oldestKept else { continue }
      StoreFiles.remove(path)
    }
  }
}
