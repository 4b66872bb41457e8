import Common
import Foundation
import Glibc
import Images
import Testing

/// Layers that someone made to do harm: each is refused with words that say what is wrong with it.
@Suite struct HostileLayerTests {
  /// A layer of one entry.
  struct Entry: Sendable, CustomTestStringConvertible {
    let name: String
    let layer: [UInt8]
    var testDescription: String { "\(name.prefix(20))" }
  }

  private static func entry(
    _ name: String, _ kind: TarBuilder.Kind = .file, link: String = "", device: (Int, Int) = (0, 0)
  ) -> Entry {
    Entry(name: name, layer: tar { $0.add(name, kind, link: link, device: device) })
  }

  @Test(arguments: [
    (entry("../etc/passwd"), "\"../etc/passwd\" climbs with \"..\""),
    (entry("a/../../b"), "\"a/../../b\" climbs with \"..\""),
    (entry("/../x"), "climbs with"),
    (entry("x/.."), "climbs with"),
    (entry("evil", .hardLink, link: "../../etc/shadow"), "/evil is a hard link out of the layer"),
    (entry(String(repeating: "n", count: 256)), "a component longer than 255 bytes"),
    (entry(String(repeating: "d/", count: 2100) + "f"), "longer than 4095 bytes"),
    (entry("\u{1b}[2J../.."), "\\u{1b}[2J"),
    (entry("s", .symlink, link: String(repeating: "t", count: 4096)), "a symbolic link longer than 4095 bytes"),
    (entry("dir/.wh."), "/dir/.wh. is a whiteout of nothing"),
    (entry("dir/.wh..."), "is a whiteout of nothing"),
    (entry(".wh.a/b"), "/.wh.a/b is inside a whiteout"),
    (entry(".", .symlink, link: "/etc"), "the layer's root is no directory"),
    (entry("dev", .blockDevice, device: (5000, 0)), "a device number that Linux has not"),
  ])
  func anEntryOutOfBoundsIsNamed(entry: Entry, message: String) async throws {
    let error = try await refusal(entry.layer)
    #expect(error.code == .invalidArgument)
    #expect(error.message.contains(message), "\(error.message)")
  }

  @Test func aBombStopsAtTheLimit() async throws {
    let scratch = try Scratch()
    try run("sh", "-c", "head -c 300000000 /dev/zero | gzip -1 > \(scratch.path)/bomb")
    let bomb = Array(try Data(contentsOf: URL(fileURLWithPath: scratch.path + "/bomb")))
    let header = tar { $0.add("zeros", size: 300_000_000) }.prefix(512)
    let gzippedHeader = try gzip(Array(header))
    let error = try await refusal(gzippedHeader + bomb, .gzip, limits: LayerLimits(maximumSize: .mebibytes(64)))
    #expect(error.code == .invalidArgument)
    #expect(error.message.contains("the limit of 64.0 MiB"), "\(error.message)")
    // The same where no tar begins, and so nothing else stops it.
    let zeros = try await refusal(bomb, .gzip, limits: LayerLimits(maximumSize: .mebibytes(64)))
    #expect(zeros.message.contains("64.0 MiB uncompressed"), "\(zeros.message)")
  }

  @Test func aSparseFileCountsWithItsHoles() async throws {
    let scratch = try Scratch()
    try run("truncate", "-s", "1T", scratch.path + "/huge")
    try run("tar", "--sparse", "-C", scratch.path, "-cf", scratch.path + "/tar", "huge")
    let layer = Array(try Data(contentsOf: URL(fileURLWithPath: scratch.path + "/tar")))
    let error = try await refusal(layer)
    #expect(error.code == .invalidArgument)
    #expect(error.message.contains("/huge is of 1.0 TiB"), "\(error.message)")
    #expect(error.message.contains("the limit of 32.0 GiB"), "\(error.message)")
  }

  @Test func moreEntriesThanTheLimitAreRefused() async throws {
    let layer = tar { tar in for number in 0..<1001 { tar.add("f\(number)") } }
    let error = try await refusal(layer, limits: LayerLimits(maximumEntries: 1000))
    #expect(error.message.contains("more entries than the limit of 1000"), "\(error.message)")
  }

  @Test(arguments: [
    (LayerCompression.gzip, "garbage that is no gzip", "not gzip"),
    (.zstd, "garbage that is no zstd", "no valid zstd"),
    (.none, String(repeating: "x", count: 5000), "no valid tar"),
    (.gzip, "", "truncated"),
    (.zstd, "", "truncated"),
  ])
  func garbageIsRefused(compression: LayerCompression, layer: String, message: String) async throws {
    let error = try await refusal(Array(layer.utf8), compression)
    #expect(error.code == .invalidArgument)
    #expect(error.message.contains(message), "\(error.message)")
  }

  @Test func aTruncatedLayerIsRefused() async throws {
    let whole = ConversionTests.example
    let tarEnd = try await refusal(Array(whole.prefix(500_000)))
    #expect(tarEnd.message.contains("Truncated"), "\(tarEnd.message)")
    let gzipped = try gzip(whole)
    for length in [gzipped.count - 1, gzipped.count / 2, 5] {
      let error = try await refusal(Array(gzipped.prefix(length)), .gzip)
      #expect(error.message.contains("its gzip stream ends in the middle"), "\(length): \(error.message)")
    }
    let trailing = try await refusal(gzipped + Array("tail of something".utf8), .gzip)
    #expect(trailing.message.contains("bytes after its gzip stream"), "\(trailing.message)")
    var damaged = gzipped
    damaged[damaged.count - 6] ^= 1
    let checksum = try await refusal(damaged, .gzip)
    #expect(checksum.message.contains("checksum is wrong"), "\(checksum.message)")
  }

  @Test func hugeAttributesAreRefused() async throws {
    let value = [UInt8](repeating: 1, count: 70_000)
    let error = try await refusal(tar { $0.add("f", pax: [("SCHILY.xattr.user.x", value)]) })
    #expect(error.message.contains("/f has extended attributes larger than Linux takes"), "\(error.message)")
  }

  private func gzip(_ bytes: [UInt8]) throws -> [UInt8] {
    let scratch = try Scratch()
    try Data(bytes).write(to: URL(fileURLWithPath: scratch.path + "/plain"))
    try run("gzip", "-n", scratch.path + "/plain")
    return Array(try Data(contentsOf: URL(fileURLWithPath: scratch.path + "/plain.gz")))
  }
}
