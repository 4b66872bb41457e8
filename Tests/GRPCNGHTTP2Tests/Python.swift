import Foundation
import Synchronization
import Testing

/// Python's grpcio, whose transport is gRPC's own C-core. Found through BULKHEAD_PYTHON.
struct Python {
  private static let interpreter = ProcessInfo.processInfo.environment["BULKHEAD_PYTHON"] ?? "python3"

  let process = Process()
  let input = Pipe()
  let output = Pipe()
  private var lines: AsyncStream<String>.AsyncIterator

  /// Starts one of the scripts in Resources.
  init(_ script: String, _ arguments: String...) throws {
    try Self.requireGRPC
    let directory = Bundle.module.bundleURL.appending(path: "Resources")
    process.executableURL = URL(filePath: "/usr/bin/env")
    process.arguments = [Self.interpreter, directory.appending(path: script).path()] + arguments
    process.standardInput = input
    process.standardOutput = output
    try process.run()
    lines = Self.lines(of: output.fileHandleForReading).makeAsyncIterator()
  }

  mutating func nextLine() async -> String? { await lines.next() }

  /// Reads to the end of its output, and returns its exit status.
  mutating func finish() async -> Int32 {
    try? input.fileHandleForWriting.close()
    while let line = await nextLine() { print("\(Self.interpreter): \(line)") }
    process.waitUntilExit()
    return process.terminationStatus
  }

  private static func lines(of handle: FileHandle) -> AsyncStream<String> {
    AsyncStream { continuation in
      let rest = Mutex(Data())
      handle.readabilityHandler = { handle in
        let data = handle.availableData
        rest.withLock { rest in
          rest += data
          while let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
            continuation.yield(String(decoding: rest[..<end], as: UTF8.self))
            rest = Data(rest[(end + 1)...])
          }
        }
        guard data.isEmpty else { return }
        handle.readabilityHandler = nil
        continuation.finish()
      }
    }
  }

  private static let hasGRPC: Bool = {
    let check = Process()
    check.executableURL = URL(filePath: "/usr/bin/env")
    check.arguments = [interpreter, "-c", "import grpc"]
    check.standardError = FileHandle.nullDevice
    try? check.run()
    check.waitUntilExit()
    return check.terminationStatus == 0
  }()

  private static var requireGRPC: Void {
    get throws {
      try #require(
        hasGRPC,
        """
        \(interpreter) has no grpcio: run `python3 -m venv VENV && VENV/bin/pip install grpcio`, and set \
        BULKHEAD_PYTHON=VENV/bin/python3
        """)
    }
  }
}
