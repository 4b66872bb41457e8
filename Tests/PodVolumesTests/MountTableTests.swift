import PodVolumes
import TestSupport
import Testing

@Suite struct MountTableTests {
  private let table = MountTable(
    parsing: Array(
      """
      22 27 0:21 / /proc rw,relatime - proc proc rw
      27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
      60 27 0:50 /sub /var/with\\040blank\\134 rw master:2 - tmpfs tmpfs rw
      nonsense
      61
      """.utf8))

  @Test func linesAreRead() throws {
    #expect(table.entries.map(\.id) == [22, 27, 60])
    let root = try #require(table.entry(id: 27))
    #expect(root.isShared && !root.isSlave && root.mountPoint == Array("/".utf8))
    let other = try #require(table.entry(id: 60))
    #expect(other.isSlave && !other.isShared && other.root == Array("/sub".utf8))
    #expect(String(decoding: other.mountPoint, as: UTF8.self) == "/var/with blank\\")
  }

  @Test func whatLiesBelow() {
    #expect(table.hasMounts(below: "/var"))
    #expect(table.hasMounts(below: "/"))
    #expect(!table.hasMounts(below: "/var/with"))
    #expect(!table.hasMounts(below: "/proc"))
  }

  @Test func anyBytesAreTaken() {
    var random = SeededRandom(seed: 7)
    for _ in 0..<2000 {
      let text = (0..<Int.random(in: 0..<200, using: &random)).map { _ in
        Array("0123456789 /\\-:\nshared".utf8).randomElement(using: &random) ?? 0
      }
      for entry in MountTable(parsing: text).entries { #expect(entry.mountPoint.count <= text.count) }
    }
  }

  @Test func theHostsOwnIsReadable() throws {
    #expect(try MountTable.current().entries.contains { $0.mountPoint == Array("/".utf8) })
  }
}
