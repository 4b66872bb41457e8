/// One line of a log file in the CRI's format.
public struct LogEntry: Sendable, Equatable {
  /// Nanoseconds since 1970.
  public var timestamp: Int64
  public var stream: LogStream
  /// The output goes on in the stream's next entry without a newline.
  public var partial: Bool
  /// As the container wrote it, without the newline.
  public var text: [UInt8]

  public init(timestamp: Int64, stream: LogStream, partial: Bool, text: [UInt8]) {
    self.timestamp = timestamp
    self.stream = stream
    self.partial = partial
    self.text = text
  }

  /// Nil for a line that is not of this format. `line` comes without its newline.
  public init?(line: some Collection<UInt8>) {
    let fields = line.split(separator: UInt8(ascii: " "), maxSplits: 3, omittingEmptySubsequences: false)
    guard fields.count == 4, let timestamp = LogTimestamp.parse(fields[0]),
      let stream = LogStream(rawValue: String(decoding: fields[1], as: UTF8.self))
    else { return nil }
    // Tags may be followed by others after a colon.
    let tag = fields[2].prefix { $0 != UInt8(ascii: ":") }
    guard tag.elementsEqual("F".utf8) || tag.elementsEqual("P".utf8) else { return nil }
    partial = tag.elementsEqual("P".utf8)
    self.timestamp = timestamp
    self.stream = stream
    text = Array(fields[3])
  }

  /// What the container wrote: the text, and the newline if the line ends here.
  public var output: [UInt8] { partial ? text : text + [UInt8(ascii: "\n")] }
}
