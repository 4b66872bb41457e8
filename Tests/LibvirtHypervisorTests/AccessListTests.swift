import Foundation
import Testing

@testable import LibvirtHypervisor

@Suite struct AccessListTests {
  @Test func oneUserReadsAndNobodyElse() throws {
    let directory = try TemporaryDirectory()
    let file = try directory.file("blob", [1, 2, 3])
    try FileAccess.grantReading(of: file, to: 300_001)
    #expect(try canRead(file, as: 300_001))
    #expect(try !canRead(file, as: 300_002))
    try FileAccess.grantReading(of: file, to: 300_002)
    try FileAccess.revoke(file, from: 300_001)
    #expect(try !canRead(file, as: 300_001))
    #expect(try canRead(file, as: 300_002))
    try FileAccess.revoke(file, from: 300_002)
    #expect(try !canRead(file, as: 300_002))
  }

  @Test func nothingIsLeftOfAGrant() throws {
    let directory = try TemporaryDirectory()
    let file = try directory.file("blob", [1], mode: 0o640)
    try FileAccess.grantReading(of: file, to: 300_001)
    try FileAccess.grantReading(of: file, to: 300_001)
    try FileAccess.revoke(file, from: 300_001)
    try FileAccess.revoke(file, from: 300_001)
    #expect(try FileAccess.list(of: file) == AccessList(mode: 0o640))
    let mode = try FileManager.default.attributesOfItem(atPath: file)[.posixPermissions] as? Int
    #expect(mode == 0o640)
  }

  @Test func aFileThatHasGoneNeedsNoRevoking() throws {
    try FileAccess.revoke("/tmp/bulkhead-no-such-file", from: 300_001)
  }

  @Test func manyAtOnceLoseNobody() async throws {
    let directory = try TemporaryDirectory()
    let file = try directory.file("blob", [1])
    try await withThrowingTaskGroup { group in
      for user in 300_000..<300_064 { group.addTask { try FileAccess.grantReading(of: file, to: UInt32(user)) } }
      try await group.waitForAll()
    }
    let list = try FileAccess.list(of: file)
    for user in 300_000..<300_064 { #expect(list.names(user: UInt32(user))) }
  }

  @Test func attributesThatAreNoListAreRefused() {
    #expect(AccessList(attribute: []) == nil)
    #expect(AccessList(attribute: [2, 0, 0, 0, 1]) == nil)
    #expect(AccessList(attribute: [3, 0, 0, 0]) == nil)
    let list = AccessList(mode: 0o751)
    #expect(AccessList(attribute: list.attribute) == list)
  }
}
