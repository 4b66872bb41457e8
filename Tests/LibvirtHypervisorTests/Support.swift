import Foundation
import Testing

@testable import LibvirtHypervisor

/// A directory that is gone when the test is over. Below /tmp, and short: sockets lie in it.
final class TemporaryDirectory: Sendable {
  let path: String

  init() throws {
    path = "/tmp/bh-\(UInt32.random(in: 0...UInt32.max))"
    try FileManager.default.createDirectory(
      atPath: path, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o755])
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  func file(_ name: String, _ contents: [UInt8], mode: Int = 0o600) throws -> String {
    let file = "\(path)/\(name)"
    try Data(contents).write(to: URL(fileURLWithPath: file))
    try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: file)
    return file
  }
}

struct Output: Equatable {
  var status: Int32
  var text: String
}

/// Runs a program to its end.
@discardableResult
func run(_ program: String, _ arguments: String...) throws -> Output {
  let process = Process()
  process.executableURL = URL(fileURLWithPath: program)
  process.arguments = arguments
  let pipe = Pipe()
  process.standardOutput = pipe
  process.standardError = pipe
  try process.run()
  let data = try pipe.fileHandleForReading.readToEnd() ?? Data()
  process.waitUntilExit()
  return Output(status: process.terminationStatus, text: String(decoding: data, as: UTF8.self))
}

/// Whether a process of this user could read the file.
func canRead(_ path: String, as user: UInt32) throws -> Bool {
  try run("/usr/bin/setpriv", "--reuid", "\(user)", "--regid", "\(user)", "--clear-groups", "/bin/cat", path).status
    == 0
}
