import Common
import Foundation
import NIOHTTP1
import Testing

@testable import Images

@Suite struct AuthenticationTests {
  static let password = RegistryCredentials(.password(user: "user", password: "secret"))

  @Test func basicWithARealRegistry() async throws {
    let scratch = try Scratch()
    // bcrypt of "secret".
    let file = try scratch.write("user:$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n", to: "htpasswd")
    let registry = try await DockerRegistry(settings: "auth: {htpasswd: {realm: test, path: \(file)}}")
    try registry.push(try TestImage([["a": Data("a".utf8)]]), as: "app", arguments: ["--dest-creds=user:secret"])
    let test = try await TestStore()

    let anonymous = await failure { try await test.store.pull("\(registry.authority)/app") }
    #expect(anonymous?.code == .unauthenticated)
    #expect(anonymous?.message.contains("imagePullSecrets") == true)
    let wrong = RegistryCredentials(.password(user: "user", password: "guess"))
    let refused = await failure { try await test.store.pull("\(registry.authority)/app", credentials: wrong) }
    #expect(refused?.code == .unauthenticated)
    #expect(refused?.description.contains("guess") == false)

    let auth = Data("user:secret".utf8).base64EncodedString()
    let credentials = try RegistryCredentials(
      username: "", password: "", auth: auth, serverAddress: "", identityToken: "", registryToken: "")
    _ = try await test.store.pull("\(registry.authority)/app", credentials: credentials)
    #expect(test.store.images().count == 1)
  }

  @Test(arguments: [password.secret, .identityToken("refresh")])
  func tokenWithARealRegistry(_ secret: RegistryCredentials.Secret) async throws {
    let scratch = try Scratch()
    let tokens = try await TokenServer(scratch)
    let registry = try await DockerRegistry(settings: tokens.registrySettings)
    try registry.push(try TestImage([["a": Data("a".utf8)]]), as: "team/app", arguments: ["--dest-creds=user:secret"])
    let test = try await TestStore()
    _ = try await test.store.pull("\(registry.authority)/team/app", credentials: RegistryCredentials(secret))
    #expect(test.store.images().count == 1)
    let anonymous = await failure { try await test.store.pull("\(registry.authority)/team/app") }
    #expect(anonymous?.code == .unauthenticated)
    try await tokens.server.close()
  }

  @Test func credentialsStayWithTheRegistryOnARedirect() async throws {
    let image = try TestImage([["a": .noise(1000, seed: 3)]])
    var content = HonestRegistry()
    content.add(image, "app")
    let storage = try await ScriptedServer { [content] in content.answer($0) }
    let registry = try await ScriptedServer { [content] request in
      guard request.headers["authorization"] == ["Basic \(Data("user:secret".utf8).base64EncodedString())"] else {
        return .init(status: .unauthorized, headers: [("www-authenticate", #"Basic realm="x, y""#)])
      }
      guard request.path.contains("/blobs/") else { return content.answer(request) }
      return .init(
        status: .temporaryRedirect, headers: [("location", "http://\(storage.authority)\(request.path)?signature=1")])
    }
    let hosts = """
      server = "http://\(registry.authority)"
      [header]
        x-secret = "operator's"
      """
    let test = try await TestStore(hosts: ["registry.test": hosts])
    _ = try await test.store.pull("registry.test/app", credentials: Self.password)
    #expect(registry.requests.allSatisfy { $0.headers["x-secret"] == ["operator's"] })
    #expect(storage.requests.count == 2)
    #expect(storage.requests.allSatisfy { $0.headers["authorization"].isEmpty && $0.headers["x-secret"].isEmpty })
  }

  @Test func credentialsOfAnotherServerAreNotSent() async throws {
    let registry = try await ScriptedServer { _ in
      .init(status: .unauthorized, headers: [("www-authenticate", "Basic realm=x")])
    }
    let test = try await TestStore()
    let other = RegistryCredentials(
      .password(user: "user", password: "secret"), serverAddress: "https://other.test/v1/")
    #expect(await failure { try await test.store.pull("\(registry.authority)/app", credentials: other) } != nil)
    #expect(registry.requests.allSatisfy { $0.headers["authorization"].isEmpty })
  }

  @Test func parsesChallenges() {
    let header = #"Basic realm="a, \"b\"", Bearer realm="https://t.test/token",service=s,scope="repository:x:pull""#
    let challenges = AuthChallenge.parse(header)
    #expect(challenges.map(\.scheme) == ["basic", "bearer"])
    #expect(challenges.first?.parameters == ["realm": #"a, "b""#])
    #expect(challenges.last?.parameters["realm"] == "https://t.test/token")
    #expect(challenges.last?.parameters["scope"] == "repository:x:pull")
    for hostile in ["", ",,,", "Bearer realm=\"", "Bearer realm", "=\"x\"", "Bearer realm=,", "\u{301}Basic x=y"] {
      _ = AuthChallenge.parse(hostile)
    }
  }

  @Test func showsNoSecret() throws {
    #expect(!"\(Self.password)".contains("secret"))
    var dumped = ""
    dump(Self.password, to: &dumped)
    #expect(!dumped.contains("secret\""))
    #expect(
      !String(reflecting: PullKey(reference: try ImageReference("a"), credentials: Self.password)).contains(
        "\"secret\""))
  }

  @Test func refusesMalformedAuth() async {
    for auth in ["%%%", "bm9jb2xvbg=="] {
      let error = await failure {
        try RegistryCredentials(
          username: "", password: "", auth: auth, serverAddress: "", identityToken: "", registryToken: "")
      }
      #expect(error?.code == .invalidArgument)
    }
  }
}
