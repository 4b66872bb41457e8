import Common
import Foundation
import NIOHTTP1
import Testing

@testable import Images

@Suite struct HostsTests {
  @Test func tlsWithItsOwnAuthority() async throws {
    let scratch = try Scratch()
    let (key, certificate) = ("\(scratch.path)/tls.key", "\(scratch.path)/tls.crt")
    try run(
      "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
      "-keyout", key, "-out", certificate, "-subj", "/CN=registry", "-addext", "subjectAltName=IP:127.0.0.1")
    let registry = try await DockerRegistry(http: "  tls: {certificate: \(certificate), key: \(key)}")
    try registry.push(try TestImage([["a": Data("a".utf8)]]), as: "app")
    let server = "server = \"https://\(registry.authority)\"\n"

    let untrusting = try await TestStore(hosts: [registry.authority: server])
    let error = await failure { try await untrusting.store.pull("\(registry.authority)/app") }
    #expect(error?.code == .unavailable)
    #expect(error?.message.contains("TLS") == true)

    let trusting = try await TestStore(hosts: [registry.authority: server + "ca = \"\(certificate)\"\n"])
    _ = try await trusting.store.pull("\(registry.authority)/app")
    let careless = try await TestStore(hosts: [registry.authority: server + "skip_verify = true\n"])
    _ = try await careless.store.pull("\(registry.authority)/app")

    let missing = try await TestStore(hosts: [registry.authority: server + "ca = \"none.pem\"\n"])
    #expect(await failure { try await missing.store.pull("\(registry.authority)/app") }?.code == .failedPrecondition)
  }

  @Test func mirrorsComeFirstAndTheRegistryHelpsOut() async throws {
    let there = try TestImage([["a": Data("a".utf8)]])
    let elsewhere = try TestImage([["b": Data("b".utf8)]])
    var (mirrored, original) = (HonestRegistry(), HonestRegistry())
    mirrored.add(there, "proxy/there")
    original.add(there, "there")
    original.add(elsewhere, "elsewhere")
    let mirror = try await ScriptedServer { [mirrored] request in
      var inner = request
      inner = .init(
        method: request.method, path: "/v2" + request.path, query: request.query, headers: request.headers, body: Data()
      )
      return mirrored.answer(inner)
    }
    let registry = try await ScriptedServer { [original] in original.answer($0) }
    let gone = try freePort()
    let test = try await TestStore(hosts: [
      "registry.test_5000_": """
        server = "http://\(registry.authority)"
        [host."http://127.0.0.1:\(gone)"]
          capabilities = ["pull", "resolve"]
        [host."http://\(mirror.authority)/proxy"]
          capabilities = ["pull", "resolve"]
          override_path = true
      """
    ])
    let record = try await test.store.pull("registry.test:5000/there")
    #expect(record.tags == ["registry.test:5000/there:latest"])
    #expect(registry.requests.isEmpty)
    #expect(mirror.requests.count == 3)
    #expect(mirror.requests.allSatisfy { $0.query["ns"] == "registry.test:5000" })
    _ = try await test.store.pull("registry.test:5000/elsewhere")
    #expect(registry.requests.count == 3)
  }

  @Test func readsEverySetting() throws {
    let file = try HostsFile(
      """
      server = "https://upstream.test"
      capabilities = ["resolve"]
      [host."https://z.test"]
        ca = ["a.pem", "/b.pem"]
        client = [["c.cert", "c.key"]]
        skip_verify = true
        [host."https://z.test".header]
          x-a = ["1", "2"]
      [host."a.test/prefix"]
        capabilities = "pull"
        client = "both.pem"
      [host."http://push.test"]
        capabilities = ["push"]
      """, directory: "/certs")
    let endpoints = try file.endpoints(for: "upstream.test")
    #expect(endpoints.map(\.authority) == ["z.test", "a.test", "upstream.test"])
    #expect(endpoints.map(\.basePath) == ["/v2", "/prefix/v2", "/v2"])
    #expect(endpoints.map(\.capabilities) == [[.pull, .resolve], [.pull], [.resolve]])
    #expect(endpoints[0].tls.authorityFiles == ["/certs/a.pem", "/b.pem"])
    #expect(endpoints[0].tls.client == .init(certificateFile: "/certs/c.cert", keyFile: "/certs/c.key"))
    #expect(endpoints[0].tls.skipsVerification)
    #expect(endpoints[0].headers == [.init(name: "x-a", value: "1"), .init(name: "x-a", value: "2")])
    #expect(endpoints[1].tls.client == .init(certificateFile: "/certs/both.pem", keyFile: "/certs/both.pem"))
  }

  @Test(arguments: [
    "server = ", "server = 7", "[host.\"ftp://x\"]", "skip_verify = \"yes\"", "capabilities = [\"fly\"]",
    "client = [[\"only.cert\"]]", "ca = [1]",
  ])
  func refusesWhatIsWrong(_ text: String) async throws {
    let test = try await TestStore(hosts: ["registry.test": text])
    let error = await failure { try await test.store.pull("registry.test/app") }
    #expect(error?.code == .failedPrecondition)
    #expect(error?.message.contains("hosts.toml") == true)
  }

  @Test func unconfiguredRegistries() throws {
    let none = HostsDirectory(path: nil)
    #expect(try none.endpoints(for: "docker.io").map(\.authority) == ["registry-1.docker.io"])
    #expect(try none.endpoints(for: "registry.test").map(\.scheme) == [.https])
    for loopback in ["localhost", "localhost:5000", "127.0.0.1:5000", "127.9.9.9", "[::1]:5000"] {
      #expect(try none.endpoints(for: loopback).map(\.scheme) == [.http], "\(loopback)")
    }
    for remote in ["127.0.0.1.evil.test", "localhost.evil.test:80", "localhost:443", "128.0.0.1:5000"] {
      #expect(try none.endpoints(for: remote).map(\.scheme) == [.https], "\(remote)")
    }
  }
}
