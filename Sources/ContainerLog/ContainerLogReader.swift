import Common
import Glibc
import LinuxSystem

/// Reads a container's log file from its begin or near its end, and goes on as it grows and is
/// rotated. Calls never wait: they return what is there.
public struct ContainerLogReader {
  private let path: String
  private var file: LogFile
  private var offset: UInt64
  /// A line whose newline has not come yet.
  private var begun: [UInt8] = []

  private static let blockSize = 64 << 10
  /// A line of the log is far shorter; what is longer is no log, and is passed over in pieces.
  private static let longestLine = 4 << 20

  /// `tail` is how many of the file's last lines to begin with; nil: all. Throws `notFound` if there
  /// is no file.
  public init(path: String, tail: Int? = nil) throws(BulkheadError) {
    self.path = path
    do {
      file = try LogFile.open(path, flags: O_RDONLY)
      offset = 0
      if let tail { offset = try Self.start(ofLast: max(0, tail), file) }
    } catch {
      throw logError(error, path)
    }
  }

  /// The entries that are there and were not read yet, at most about a block of them; empty at the
  /// end for now. What is not in the CRI's format is passed over.
  public mutating func read() throws(BulkheadError) -> [LogEntry] {
    do {
      var block = try file.read(at: offset, count: Self.blockSize)
      if block.isEmpty, try moveOn() { block = try file.read(at: offset, count: Self.blockSize) }
      offset += UInt64(block.count)
      return entries(block)
    } catch {
      throw logError(error, path)
    }
  }

  private mutating func entries(_ block: [UInt8]) -> [LogEntry] {
    var entries: [LogEntry] = []
    var rest = block[...]
    while let newline = rest.firstIndex(of: UInt8(ascii: "\n")) {
      begun += rest[..<newline]
      if let entry = LogEntry(line: begun) { entries.append(entry) }
      begun.removeAll(keepingCapacity: true)
      rest = rest[(newline + 1)...]
    }
    begun += rest
    if begun.count > Self.longestLine { begun.removeAll() }
    return entries
  }

  /// At the end of a file: to the begin of the file that has its name by now, or of the same one if
  /// it was emptied; false where neither has happened.
  private mutating func moveOn() throws(SystemError) -> Bool {
    let (identity, size) = try file.inspect()
    if size < offset {
      offset = 0
      begun.removeAll()
      return true
    }
    let current: LogFile
    do { current = try LogFile.open(path, flags: O_RDONLY) } catch let error where error.number == ENOENT {
      return false  // between the rename and the new file
    }
    guard try current.inspect().identity != identity else { return false }
    file = current
    offset = 0
    begun.removeAll()
    return true
  }

  /// Where the last `count` lines begin.
  private static func start(ofLast count: Int, _ file: LogFile) throws(SystemError) -> UInt64 {
    let size = try file.inspect().size
    var end = size
    var newlines = 0
    while end > 0 {
      let begin = end > UInt64(blockSize) ? end - UInt64(blockSize) : 0
      let block = try file.read(at: begin, count: Int(end - begin))
      for index in block.indices.reversed() where block[index] == UInt8(ascii: "\n") {
        // The newline before the first line wanted is the one after `count` others.
        if newlines == count { return begin + UInt64(index) + 1 }
        newlines += 1
      }
      end = begin
    }
    return 0
  }
}
