/// Makes tars that no tool would: an entry is what the test says, right or wrong.
struct TarBuilder {
  private(set) var bytes: [UInt8] = []

  enum Kind: Character {
    case file = "0"
    case hardLink = "1"
    case symlink = "2"
    case characterDevice = "3"
    case blockDevice = "4"
    case directory = "5"
    case fifo = "6"
    case pax = "x"
  }

  /// Adds an entry; what a ustar header cannot hold goes into a pax header before it.
  mutating func add(
    _ name: String, _ kind: Kind = .file, _ contents: [UInt8] = [], mode: Int = 0o644, uid: Int = 0, gid: Int = 0,
    modified: Int = 1_600_000_000, link: String = "", device: (Int, Int) = (0, 0), pax: [(String, [UInt8])] = [],
    size: Int? = nil
  ) {
    var records = pax
    if name.utf8.count > 100 { records.append(("path", Array(name.utf8))) }
    if link.utf8.count > 100 { records.append(("linkpath", Array(link.utf8))) }
    if !records.isEmpty {
      let body = records.flatMap { paxRecord($0.0, $0.1) }
      header("pax", .pax, size: body.count, mode: 0o644, 0, 0, 0, "", (0, 0))
      append(body)
    }
    header(name, kind, size: size ?? contents.count, mode: mode, uid, gid, modified, link, device)
    append(contents)
  }

  mutating func append(_ body: [UInt8]) {
    bytes += body
    bytes += [UInt8](repeating: 0, count: (512 - bytes.count % 512) % 512)
  }

  func finished() -> [UInt8] { bytes + [UInt8](repeating: 0, count: 1024) }

  private func paxRecord(_ key: String, _ value: [UInt8]) -> [UInt8] {
    let body = Array(" \(key)=".utf8) + value + [10]
    var length = body.count + 1
    while "\(length)".utf8.count + body.count != length { length = "\(length)".utf8.count + body.count }
    return Array("\(length)".utf8) + body
  }

  private mutating func header(
    _ name: String, _ kind: Kind, size: Int, mode: Int, _ uid: Int, _ gid: Int, _ modified: Int, _ link: String,
    _ device: (Int, Int)
  ) {
    var block = [UInt8](repeating: 0, count: 512)
    func put(_ text: some Sequence<UInt8>, at offset: Int) {
      for (index, byte) in text.enumerated() { block[offset + index] = byte }
    }
    func octal(_ value: Int, at offset: Int, digits: Int) {
      let text = String(value, radix: 8)
      put((String(repeating: "0", count: max(0, digits - text.count)) + text).utf8.suffix(digits), at: offset)
    }
    put(name.utf8.prefix(100), at: 0)
    octal(mode, at: 100, digits: 7)
    octal(uid, at: 108, digits: 7)
    octal(gid, at: 116, digits: 7)
    octal(size, at: 124, digits: 11)
    octal(modified, at: 136, digits: 11)
    put(String(kind.rawValue).utf8, at: 156)
    put(link.utf8.prefix(100), at: 157)
    put("ustar\u{0}00".utf8, at: 257)
    octal(device.0, at: 329, digits: 7)
    octal(device.1, at: 337, digits: 7)
    put("        ".utf8, at: 148)
    octal(block.reduce(0) { $0 + Int($1) }, at: 148, digits: 6)
    block[154] = 0
    bytes += block
  }
}

/// A tar of what `build` adds.
func tar(_ build: (inout TarBuilder) -> Void) -> [UInt8] {
  var builder = TarBuilder()
  build(&builder)
  return builder.finished()
}
