import Common
import Testing

@testable import Images

@Suite struct ReferenceTests {
  static let hex = String(repeating: "0a", count: 32)

  @Test(arguments: [
    ("alpine", "docker.io/library/alpine:latest"),
    ("alpine:3.20", "docker.io/library/alpine:3.20"),
    ("team/app", "docker.io/team/app:latest"),
    ("index.docker.io/app", "docker.io/library/app:latest"),
    ("docker.io/alpine", "docker.io/library/alpine:latest"),
    ("localhost/app", "localhost/app:latest"),
    ("localhost:5000/a/b/c:T_1.x-2", "localhost:5000/a/b/c:T_1.x-2"),
    ("registry.test/app", "registry.test/app:latest"),
    ("Registry/app", "Registry/app:latest"),
    ("[::1]:5000/app", "[::1]:5000/app:latest"),
    ("a__b/c.d/e--f_g", "docker.io/a__b/c.d/e--f_g:latest"),
    ("app@sha256:\(hex)", "docker.io/library/app@sha256:\(hex)"),
    ("r.test/app:v1@sha256:\(hex)", "r.test/app@sha256:\(hex)"),
    ("\(hex)@sha256:\(hex)", "docker.io/library/\(hex)@sha256:\(hex)"),
  ])
  func completes(_ text: String, _ full: String) throws {
    #expect(try ImageReference(text).description == full)
    #expect(try ImageReference(full).description == full)
  }

  @Test(arguments: [
    "", " ", ":", "@", "/", "a:", ":a", "a@", "a//b", "/a", "a/", "Alpine", "a:b:c", "a b", "a\n", "a/../b", "../a",
    "a/./b", "a:-x", "a:.x", "a._b", "a___b", "-a", "a-", "_a", "a_", "http://r.test/a", "r.test:0/a", "r.test:65536/a",
    "r.test:/a", "r..test/a", "-r.test/a", "[::1/a", "[]:5/a", "[g::1]/a", "a@sha256:00", "a@sha512:\(hex)\(hex)", hex,
    "a@sha256:\(hex)@sha256:\(hex)", "ä", "a:ä", "r.test:+5/a", "r.test/a?x=y", "r.test/a#f", "r.test/%2e%2e",
    "a\u{0}b", "user@host/a", "a:\(String(repeating: "t", count: 129))", String(repeating: "a", count: 256),
    "r.test/" + String(repeating: "a/", count: 200) + "b", "a\u{301}",
  ])
  func refuses(_ text: String) async {
    #expect(await failure { try ImageReference(text) }?.code == .invalidArgument)
  }

  @Test func keepsItsParts() throws {
    let reference = try ImageReference("r.test:5000/team/app:v1@sha256:\(Self.hex)")
    #expect(reference.domain == "r.test:5000")
    #expect(reference.path == "team/app")
    #expect(reference.repository == "r.test:5000/team/app")
    #expect(reference.tag == "v1")
    #expect(reference.digest?.hex == Self.hex)
  }
}
