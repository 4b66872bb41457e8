import CNI
import Common
import Foundation
import Testing

@Suite struct NetworkConfigurationTests {
  @Test func everyVersionFrom031To110() throws {
    for version in ["0.3.1", "0.4.0", "1.0.0", "1.1.0"] {
      #expect(
        try network(#"{"cniVersion":"\#(version)","name":"n","plugins":[{"type":"p"}]}"#).version.rawValue == version)
    }
    for version in ["0.1.0", "0.2.0", "2.0.0", ""] {
      #expect(throws: BulkheadError.self) {
        try network(#"{"cniVersion":"\#(version)","name":"n","plugins":[{"type":"p"}]}"#)
      }
    }
  }

  @Test func theHighestVersionThatBothSidesKnow() throws {
    let text = #"{"cniVersion":"0.3.1","cniVersions":["0.3.1","1.0.0","9.0.0"],"name":"n","plugins":[{"type":"p"}]}"#
    #expect(try network(text).version == .v1_0_0)
  }

  @Test(arguments: [
    "", "{", "[]", "\u{0}", #"{"cniVersion":"1.0.0","name":"n"}"#, #"{"cniVersion":"1.0.0","name":"n","plugins":[]}"#,
    #"{"cniVersion":"1.0.0","name":"n","plugins":[{}]}"#, #"{"cniVersion":"1.0.0","plugins":[{"type":"p"}]}"#,
    #"{"cniVersion":"1.0.0","name":"../n","plugins":[{"type":"p"}]}"#,
    #"{"cniVersion":"1.0.0","name":"n","plugins":[{"type":"../../bin/sh"}]}"#,
    #"{"cniVersion":1,"name":"n","plugins":[{"type":"p"}]}"#,
  ])
  func whatIsNotValidIsRefused(_ text: String) {
    #expect(throws: BulkheadError.self) { try network(text) }
  }

  /// Fixed seed: files are the operator's, but half-written ones are met in the wild.
  @Test func damagedFilesNeverTrap() throws {
    let good = Array(
      #"{"cniVersion":"1.0.0","name":"n","plugins":[{"type":"p","ipam":{"ranges":[[{"a":1e3}]]}}]}"#.utf8)
    var state: UInt64 = 42
    for _ in 0..<5000 {
      var bytes = good
      for _ in 0..<4 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        bytes[Int(state >> 33) % bytes.count] = UInt8(truncatingIfNeeded: state >> 24)
      }
      _ = try? NetworkConfiguration(Data(bytes.prefix(Int(state >> 40) % (bytes.count + 1))), isList: true)
    }
    let deep = String(repeating: "[", count: 100_000)
    #expect(throws: BulkheadError.self) { try network(deep) }
  }
}

@Suite struct ConfigurationDirectoryTests {
  private func list(_ name: String) -> String { #"{"cniVersion":"1.0.0","name":"\#(name)","plugins":[{"type":"p"}]}"# }

  @Test func filesInTheOrderOfTheirNames() throws {
    let scratch = try Scratch()
    try scratch.write("20-b.conflist", list("b"))
    try scratch.write("10-a.conf", #"{"cniVersion":"0.3.1","name":"a","type":"p"}"#)
    try scratch.write("30-c.json", #"{"cniVersion":"0.4.0","name":"c","type":"p"}"#)
    try scratch.write("00-readme.txt", "not a network")
    try scratch.write(".05-half.conflist", "{")
    let found = ConfigurationDirectory(path: scratch.path, maximum: 2).read()
    #expect(found.networks.map(\.name) == ["a", "b"])
    #expect(found.problems.isEmpty)
  }

  @Test func anInvalidFileIsNamedAndTheOthersUsed() throws {
    let scratch = try Scratch()
    try scratch.write("10-broken.conflist", "{ this is no JSON")
    try scratch.write("20-good.conflist", list("good"))
    try FileManager.default.createDirectory(
      atPath: "\(scratch.path)/15-directory.conf", withIntermediateDirectories: true)
    let found = ConfigurationDirectory(path: scratch.path, maximum: 1).read()
    #expect(found.networks.map(\.name) == ["good"])
    #expect(found.problems.count == 2)
    #expect(found.problems[0].contains("10-broken.conflist"))
  }

  @Test func aChangeIsSeenAtTheNextRead() throws {
    let scratch = try Scratch()
    let directory = ConfigurationDirectory(path: scratch.path, maximum: 1)
    #expect(directory.read().networks.isEmpty)
    try scratch.write("10.conflist", list("one"))
    #expect(directory.read().networks.map(\.name) == ["one"])
    try scratch.write("10.conflist", list("two"))
    #expect(directory.read().networks.map(\.name) == ["two"])
  }
}
