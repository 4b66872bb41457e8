import Common
import Foundation
import Streaming
import Synchronization
import TestSupport

/// Commands that do what a process in a container would, in this process.
final class TestBackend: StreamingBackend {
  private let endings = Mutex<[String]>([])
  private let count = Mutex(0)
  private let changed = NSCondition()
  private let bytes = Mutex(0)

  /// What happened to commands that do not end by themselves.
  var hangUps: [String] { endings.withLock { $0 } }
  /// Commands and connections under way.
  var running: Int { count.withLock { $0 } }
  /// How much `flood` could write so far.
  var flooded: Int { bytes.withLock { $0 } }

  private func counted<Result>(_ body: () async throws -> Result) async rethrows -> Result {
    add(1)
    defer { add(-1) }
    return try await body()
  }

  private func add(_ number: Int) {
    changed.lock()
    count.withLock { $0 += number }
    changed.broadcast()
    changed.unlock()
  }

  /// For a client's thread: returns when so many are under way, and throws after a minute.
  func awaitRunning(_ wanted: Int) throws {
    changed.lock()
    defer { changed.unlock() }
    let end = Date.now + 60
    while running != wanted {
      guard changed.wait(until: end) else { throw NeverHappened("\(wanted) commands and connections are under way") }
    }
  }

  func exec(_ request: ExecSessionRequest, _ streams: any ProcessStreams) async throws -> ProcessEnd {
    try await counted { try await run(request, streams) }
  }

  private func run(_ request: ExecSessionRequest, _ streams: any ProcessStreams) async throws -> ProcessEnd {
    switch request.command[0] {
    case "cat":
      if let stdin = streams.stdin { for try await bytes in stdin { try await streams.write(stdout: bytes) } }
    case "count":
      var total = 0
      if let stdin = streams.stdin { for try await bytes in stdin { total += bytes.count } }
      try await streams.write(stdout: Data("\(total)".utf8))
    case "both":
      try await streams.write(stdout: Data("to stdout".utf8))
      try await streams.write(stderr: Data("to stderr".utf8))
    case "exit": return .exited(code: UInt8(request.command[1]) ?? 255)
    case "flood": try await flood(UInt64(request.command[1]) ?? 0, streams)
    case "sizes":
      for await size in streams.resizes {
        try await streams.write(stdout: Data("\(size.columns)x\(size.rows)\n".utf8))
        if size.columns == 1 { break }
      }
    case "sleep":
      do { try await Task.sleep(for: .seconds(600)) } catch {
        endings.withLock { $0.append("sleep was cancelled") }
        throw error
      }
    case "broken": throw BulkheadError(.failedPrecondition, "no such program")
    default: return .failed("not known")
    }
    return .exited(code: 0)
  }

  /// Numbered bytes, so that a loss shows.
  private func flood(_ total: UInt64, _ streams: any ProcessStreams) async throws {
    var sent: UInt64 = 0
    while sent < total {
      let size = min(32 << 10, total - sent)
      try await streams.write(stdout: pattern(at: sent, count: Int(size)))
      sent += size
      bytes.withLock { $0 = Int(sent) }
    }
  }

  func attach(_ request: AttachSessionRequest, _ streams: any ProcessStreams) async throws {
    try await counted { try await streams.write(stdout: Data("attached".utf8)) }
  }

  func portForward(pod: PodID, port: UInt16, _ connection: any ByteChannel) async throws {
    try await counted {
      switch port {
      case 7:
        for try await bytes in connection.input { try await connection.write(bytes) }
        try await connection.closeOutput()
      case 13: try await connection.write(Data("Sat".utf8))
      case 9:
        do { try await Task.sleep(for: .seconds(600)) } catch {
          endings.withLock { $0.append("connection was cancelled") }
          throw error
        }
      default: throw BulkheadError(.unavailable, "connection refused")
      }
    }
  }
}

/// Bytes that differ in each period of 251.
func pattern(at offset: UInt64, count: Int) -> Data {
  let start = Int(offset % 251)
  return patterns.subdata(in: start..<(start + count))
}

private let patterns = Data((0..<(251 + (64 << 10))).map { UInt8($0 % 251) })
