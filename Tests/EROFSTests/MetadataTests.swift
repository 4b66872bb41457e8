import Foundation
import LayerFormat
import Testing

@testable import EROFS

@Suite struct MetadataTests {
  private static let attributes = InodeAttributes(
    mode: 0o755, uid: 0, gid: 0, modified: 0, modifiedNanoseconds: 0, xattrs: [])

  private func name(_ text: String, _ node: Int) -> FilesystemTree.Name { .init(name: Array(text.utf8), node: node) }

  private func node(_ content: FilesystemTree.Content, xattr: Int = 0) -> FilesystemTree.Node {
    var attributes = Self.attributes
    if xattr > 0 {
      attributes.xattrs = [ExtendedAttribute(name: Array("user.x".utf8), value: [UInt8](repeating: 1, count: xattr))]
    }
    return .init(attributes: attributes, content: content)
  }

  @Test func theChecksumIsTheKernels() {
    // The check value of CRC-32C, without its final inversion.
    #expect(crc32c("123456789".utf8) == ~0xE306_9283)
  }

  @Test func anEmptyImageIsTwoBlocks() throws {
    let writer = try MetadataWriter(
      FilesystemTree(nodes: [node(.directory([]))], dataBlocks: 0), uuid: [UInt8](repeating: 1, count: 16))
    #expect(writer.size == 8192)
    #expect(try fsck(writer) == "")
  }

  @Test func moreThanBlockNumbersReachIsRefused() {
    #expect(throws: LayerFormatError.self) {
      try MetadataWriter(FilesystemTree(nodes: [node(.directory([]))], dataBlocks: 1 << 32), uuid: [])
    }
    #expect(throws: LayerFormatError.self) {
      try MetadataWriter(FilesystemTree(nodes: [node(.directory([]))], dataBlocks: .max), uuid: [])
    }
  }

  @Test func linksAreCounted() throws {
    let tree = FilesystemTree(
      nodes: [
        node(.directory([name("d", 1), name("a", 2), name("b", 2)])), node(.directory([name("c", 2), name("e", 3)])),
        node(.fifo), node(.directory([])),
      ], dataBlocks: 0)
    #expect(try ImageLayout(tree).places.map(\.links) == [3, 3, 3, 2])
  }

  @Test(arguments: 0..<12)
  func randomTreesAreWhatFsckAccepts(seed: UInt64) throws {
    var random = Numbers(state: seed)
    var nodes = [node(.directory([]))]
    var children: [[FilesystemTree.Name]] = [[]]
    var directories = [0]
    for index in 1..<Int.random(in: 2...900, using: &random) {
      let parent = directories.randomElement(using: &random) ?? 0
      let length = Int.random(in: 1...(seed % 2 == 0 ? 240 : 20), using: &random)
      children[parent].append(name("\(index)" + String(repeating: "n", count: length), index))
      children.append([])
      let xattr = Bool.random(using: &random) ? Int.random(in: 1...9000, using: &random) : 0
      switch Int.random(in: 0..<5, using: &random) {
      case 0:
        directories.append(index)
        nodes.append(node(.directory([]), xattr: xattr))
      case 1:
        let target = [UInt8](repeating: 97, count: Int.random(in: 1...4095, using: &random))
        nodes.append(node(.symlink(target: target), xattr: xattr))
      case 2: nodes.append(node(.characterDevice(major: 0xfff, minor: 0xfffff), xattr: xattr))
      case 3: nodes.append(node(.file(size: UInt64.random(in: 1...8192, using: &random), block: 0), xattr: xattr))
      default: nodes.append(node(.file(size: 0, block: 0), xattr: xattr))
      }
    }
    for directory in directories { nodes[directory].content = .directory(children[directory]) }
    let tree = FilesystemTree(nodes: nodes, dataBlocks: 2)
    try expectSound(try ImageLayout(tree), tree)
    #expect(try fsck(try MetadataWriter(tree, uuid: [UInt8](repeating: 1, count: 16))) == "")
  }

  /// Nothing overlaps, and nothing that the kernel reads in one piece crosses a block.
  private func expectSound(_ layout: ImageLayout, _ tree: FilesystemTree) throws {
    var end = OnDisk.blockSize
    for place in layout.places {
      #expect(place.offset >= end && place.offset % 32 == 0)
      let head = place.offset + 64 + place.xattrs.count
      #expect(place.offset / 4096 == (place.offset + 63) / 4096)
      if place.inlineSize > 0 { #expect(head / 4096 == (head + place.inlineSize - 1) / 4096) }
      end = head + place.inlineSize
    }
    #expect(end <= Int(layout.metadataBlocks) * 4096)
  }

  private func fsck(_ writer: MetadataWriter) throws -> String {
    let path = (NSTemporaryDirectory() as NSString).appendingPathComponent("bulkhead-erofs-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(atPath: path) }
    var bytes: [UInt8] = []
    try writer.write { bytes += $0 }
    #expect(bytes.count == Int(writer.size))
    try Data(bytes + [UInt8](repeating: 0, count: 2 * 4096)).write(to: URL(fileURLWithPath: path))
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = ["fsck.erofs", "--extract", path]
    let output = Pipe()
    process.standardOutput = output
    process.standardError = output
    try process.run()
    let said = output.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return String(decoding: said, as: UTF8.self)
  }
}

/// SplitMix64.
private struct Numbers: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
    return z ^ z >> 31
  }
}
