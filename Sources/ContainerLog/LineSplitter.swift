/// Which of a container's streams a byte came from. A container with a terminal has stdout only.
public enum LogStream: String, Sendable, CaseIterable {
  case stdout, stderr
}

/// Turns the bytes of one stream into lines of the CRI's log format. Pure: bytes in, lines out.
///
/// What comes out depends on the bytes alone and not on how they were cut into calls. A line longer
/// than `maximum` comes as pieces of `maximum` bytes with tag P and a last one with tag F; a line's
/// piece is given out once it is known which of the two it is. Output that does not end in a newline
/// ends in a P, so that a reader gets exactly the bytes that were written.
struct LineSplitter {
  let stream: LogStream
  let maximum: Int
  /// The begun line: at most `maximum` bytes.
  private(set) var pending: [UInt8] = []

  init(stream: LogStream, maximum: Int) {
    self.stream = stream
    self.maximum = max(1, maximum)
  }

  /// Takes `bytes` and appends the lines that they complete to `out`. What stays is `pending`.
  mutating func feed(_ bytes: ArraySlice<UInt8>, timestamp: [UInt8], into out: inout [UInt8]) {
    var rest = bytes
    while !rest.isEmpty {
      let newline = rest.firstIndex(of: UInt8(ascii: "\n"))
      let line = rest[..<(newline ?? rest.endIndex)]
      take(line, timestamp: timestamp, into: &out)
      guard let newline else { return }
      emit(tag: "F", timestamp: timestamp, into: &out)
      rest = rest[(newline + 1)...]
    }
  }

  /// The stream has ended.
  mutating func end(timestamp: [UInt8], into out: inout [UInt8]) {
    if !pending.isEmpty { emit(tag: "P", timestamp: timestamp, into: &out) }
  }

  /// Adds bytes without a newline; gives out a piece only when a byte comes that it has no room for.
  private mutating func take(_ line: ArraySlice<UInt8>, timestamp: [UInt8], into out: inout [UInt8]) {
    var rest = line
    while !rest.isEmpty {
      if pending.count == maximum { emit(tag: "P", timestamp: timestamp, into: &out) }
      let piece = rest.prefix(maximum - pending.count)
      pending += piece
      rest = rest.dropFirst(piece.count)
    }
  }

  private mutating func emit(tag: Unicode.Scalar, timestamp: [UInt8], into out: inout [UInt8]) {
    out += timestamp
    out.append(UInt8(ascii: " "))
    out += stream.rawValue.utf8
    out += [UInt8(ascii: " "), UInt8(ascii: tag), UInt8(ascii: " ")]
    out += pending
    out.append(UInt8(ascii: "\n"))
    pending.removeAll(keepingCapacity: true)
  }
}
