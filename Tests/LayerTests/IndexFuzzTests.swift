import LayerFormat
import TestSupport
import Testing

/// The index's parser on indexes that are almost right. The seed is fixed: a failure repeats.
@Suite struct IndexFuzzTests {
  private static let attributes = InodeAttributes(
    mode: 0o755, uid: 1, gid: 2, modified: -5, modifiedNanoseconds: 6,
    xattrs: [
      ExtendedAttribute(name: Array("user.a".utf8), value: [1, 2]),
      ExtendedAttribute(name: Array("user.b".utf8), value: []),
    ])

  private static func entries() throws -> [LayerEntry] {
    func path(_ name: String) throws -> LayerPath { try LayerPath(normalizing: Array(name.utf8)) }
    return [
      LayerEntry(path: .root, content: .inode(.directory, attributes)),
      LayerEntry(path: try path("d/file"), content: .inode(.file(size: 5000, block: 1), attributes)),
      LayerEntry(path: try path("d/empty"), content: .inode(.file(size: 0, block: 0), attributes)),
      LayerEntry(path: try path("link"), content: .inode(.symlink(target: [46, 46]), attributes)),
      LayerEntry(path: try path("c"), content: .inode(.characterDevice(major: 1, minor: 3), attributes)),
      LayerEntry(path: try path("b"), content: .inode(.blockDevice(major: 0xfff, minor: 0xfffff), attributes)),
      LayerEntry(path: try path("p"), content: .inode(.fifo, attributes)),
      LayerEntry(path: try path("h"), content: .hardLink(target: try path("d/file"))),
      LayerEntry(path: try path("w"), content: .whiteout),
      LayerEntry(path: try path("d"), content: .opaque),
    ]
  }

  private static func encoded() throws -> [UInt8] {
    var encoder = IndexEncoder()
    for entry in try entries() { encoder.append(entry) }
    encoder.finish(dataSize: 3 * 4096)
    return encoder.takeBuffer()
  }

  private func decode(_ index: [UInt8], piece: Int = 1000, maximumEntries: Int = 100) throws -> [LayerEntry] {
    var rest = index[...]
    var decoder = try IndexDecoder(dataSize: 3 * 4096, maximumEntries: maximumEntries) {
      defer { rest = rest.dropFirst(piece) }
      return Array(rest.prefix(piece))
    }
    var entries: [LayerEntry] = []
    while let entry = try decoder.next() { entries.append(entry) }
    return entries
  }

  @Test(arguments: [1, 7, 1000]) func whatIsWrittenIsReadAgain(piece: Int) throws {
    #expect(try decode(Self.encoded(), piece: piece) == Self.entries())
  }

  @Test func everyTruncationIsAnError() throws {
    let index = try Self.encoded()
    for length in 0..<index.count {
      #expect(throws: LayerFormatError.self) { try decode(Array(index.prefix(length))) }
    }
    #expect(throws: LayerFormatError.self) { try decode(index + [0]) }
    #expect(throws: LayerFormatError.self) { try decode(index, maximumEntries: 9) }
  }

  @Test func aFileOutsideTheDataIsAnError() throws {
    for (size, block) in [(12_289, 0), (4096, 3), (UInt64.max, 0), (UInt64.max, .max), (0, 1)] as [(UInt64, UInt32)] {
      var encoder = IndexEncoder()
      encoder.append(
        LayerEntry(
          path: try LayerPath(normalizing: [1]), content: .inode(.file(size: size, block: block), Self.attributes)))
      encoder.finish(dataSize: 3 * 4096)
      let index = encoder.takeBuffer()
      #expect(throws: LayerFormatError.self, "\(size) at \(block)") { try decode(index) }
    }
  }

  @Test func damagedIndexesAreReadOrRefusedButNeverTrap() throws {
    var random = SeededRandom(seed: 6)
    let index = try Self.encoded()
    var accepted = 0
    for _ in 0..<60_000 {
      var damaged = index
      for _ in 0..<Int.random(in: 1...4, using: &random) {
        let position = Int.random(in: 0..<damaged.count, using: &random)
        switch Int.random(in: 0..<4, using: &random) {
        case 0: damaged[position] ^= 1 << UInt8.random(in: 0..<8, using: &random)
        case 1: damaged[position] = [0, 1, 0x7f, 0x80, 0xff].randomElement(using: &random) ?? 0
        case 2: damaged.remove(at: position)
        default: damaged.insert(UInt8.random(in: 0...255, using: &random), at: position)
        }
        if damaged.isEmpty { break }
      }
      guard let entries = try? decode(damaged) else { continue }
      accepted += 1
      for entry in entries { #expect(LayerPath(canonical: entry.path.bytes) == entry.path) }
    }
    #expect(accepted > 100)
  }
}
