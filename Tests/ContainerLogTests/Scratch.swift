import Foundation

/// A directory of a test's own, removed with it.
final class Scratch {
  let path: String
  var log: String { "\(path)/logs/c/0.log" }
  var state: String { "\(path)/0.log-state" }

  init() throws {
    path = NSTemporaryDirectory() + "bulkhead-log-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  func read(_ file: String) throws -> [UInt8] { Array(try Data(contentsOf: URL(fileURLWithPath: file))) }
  /// In place: the inode stays.
  func write(_ bytes: [UInt8], to file: String) throws { try Data(bytes).write(to: URL(fileURLWithPath: file)) }
  func text(_ file: String) throws -> String { String(decoding: try read(file), as: UTF8.self) }
  func rename(_ from: String, _ to: String) throws { try FileManager.default.moveItem(atPath: from, toPath: to) }
  func mode(_ file: String) throws -> Int {
    try FileManager.default.attributesOfItem(atPath: file)[.posixPermissions] as? Int ?? 0
  }
}
