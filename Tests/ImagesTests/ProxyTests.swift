import Common
import Foundation
import Testing

@testable import Images

@Suite(.timeLimit(.minutes(2))) struct ProxyTests {
  private static func registry(_ image: TestImage) async throws -> ScriptedServer {
    var content = HonestRegistry()
    content.add(image, "app")
    return try await ScriptedServer { [content] in content.answer($0) }
  }

  @Test func plainHTTPGoesThroughTheProxyUnlessExcepted() async throws {
    let image = try TestImage([["a": Data("a".utf8)]])
    // Whoever is asked for the whole URL is a proxy; this one has the content itself.
    let (proxy, registry) = (try await Self.registry(image), try await Self.registry(image))
    let hosts = [
      "elsewhere.test": "server = \"http://elsewhere.test\"",
      // libcurl knows names beneath localhost without asking anybody.
      "registry.localhost": "server = \"http://registry.localhost:\(registry.port)\"",
    ]
    let test = try await TestStore(hosts: hosts) {
      $0.environment = [
        "HTTP_PROXY": "http://us%65r:secret@\(proxy.authority)", "NO_PROXY": "10.0.0.0/8,.localhost",
      ]
    }
    _ = try await test.store.pull("elsewhere.test/app")
    #expect(proxy.requests.count == 3)
    #expect(proxy.requests.allSatisfy { $0.target.hasPrefix("http://elsewhere.test/v2/app/") })
    let credentials = "Basic \(Data("user:secret".utf8).base64EncodedString())"
    #expect(proxy.requests.allSatisfy { $0.headers["proxy-authorization"] == [credentials] })

    _ = try await test.store.pull("registry.localhost/app")
    #expect(proxy.requests.count == 3)
    #expect(registry.requests.count >= 2)
    #expect(
      registry.requests.allSatisfy { $0.target.hasPrefix("/v2/") && !$0.headers.contains(name: "proxy-authorization") })
  }

  @Test func tlsGoesThroughATunnel() async throws {
    let scratch = try Scratch()
    let certificate = try Certificate(scratch, name: "tls", subject: "DNS:registry.test")
    let registry = try await DockerRegistry(
      http: "  tls: {certificate: \(certificate.file), key: \(certificate.keyFile)}")
    try registry.push(try TestImage([["a": Data("a".utf8)]]), as: "app")
    let (port, tunnels) = (registry.port, Requests())
    let proxy = try WireServer { wire in
      guard let request = wire.request() else { return }
      tunnels.add(request)
      wire.send("HTTP/1.1 200 Connection established\r\nx-of-the-proxy: 1\r\n\r\n")
      try? wire.relay(to: port)
    }
    let hosts = [
      "registry.test": "server = \"https://registry.test\"\nca = \"\(certificate.file)\"\n[header]\nx-a = \"b\""
    ]
    let test = try await TestStore(hosts: hosts) {
      $0.environment = ["https_proxy": "user:secret@\(proxy.authority)"]
    }
    _ = try await test.store.pull("registry.test/app")
    #expect(tunnels.all.allSatisfy { $0.hasPrefix("CONNECT registry.test:443 HTTP/1.1\r\n") && !$0.contains("x-a") })
    #expect(tunnels.all.first?.contains("Proxy-Authorization: Basic ") == true)
  }

  @Test func aProxyThatRefusesIsNamedWithoutItsPassword() async throws {
    let proxy = try WireServer { wire in
      while wire.request() != nil { wire.send("HTTP/1.1 407 No\r\ncontent-length: 0\r\n\r\n") }
    }
    let hosts = ["a.test": "server = \"http://a.test\""]
    for (image, variable) in [("registry.test/app", "HTTPS_PROXY"), ("a.test/app", "HTTP_PROXY")] {
      let test = try await TestStore(hosts: hosts) {
        $0.environment = [variable: "http://user:secret@\(proxy.authority)"]
        $0.attempts = 1
      }
      let error = try #require(await failure { try await test.store.pull(image) })
      #expect(error.description.contains("407"))
      #expect(!error.description.contains("secret"))
    }
  }

  @Test func aVariableThatNamesNoProxyFailsThePullWithoutBeingRepeated() async throws {
    for value in [
      "ftp://user:secret@proxy.test", "http://", "://user:secret@proxy.test", "http://user:secret@pro xy:1",
    ] {
      let test = try await TestStore { $0.environment = ["HTTPS_PROXY": value] }
      let error = try #require(await failure { try await test.store.pull("registry.test/app") })
      #expect(error.code == .failedPrecondition, "\(value)")
      #expect(error.description.contains("HTTPS_PROXY"))
      #expect(!error.description.contains("secret"))
    }
  }

  @Test func choosesByScheme() throws {
    let proxies = try ProxySettings(environment: [
      "HTTP_PROXY": "one.test", "http_proxy": "two.test", "https_proxy": "socks5h://[::1]:9", "ALL_PROXY": "three.test",
    ])
    func server(_ url: String) throws -> String? {
      proxies.proxy(for: try HTTPRequest(URLComponents(string: url) ?? URLComponents()))?.server
    }
    #expect(try server("http://registry.test/") == "http://one.test:80")
    #expect(try server("https://registry.test/") == "socks5h://[::1]:9")
    for own in ["http://localhost:5000/", "http://127.0.0.1/", "https://[::1]:5000/"] {
      #expect(try server(own) == nil)
    }
  }
}
