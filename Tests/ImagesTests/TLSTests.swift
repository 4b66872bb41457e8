import Common
import Foundation
import Synchronization
import Testing

@testable import Images

@Suite(.timeLimit(.minutes(2))) struct TLSTests {
  @Test func aClientShowsItsCertificate() async throws {
    let scratch = try Scratch()
    let server = try Certificate(scratch, name: "server", subject: "IP:127.0.0.1")
    let client = try Certificate(scratch, name: "client", subject: "DNS:node")
    let registry = try await DockerRegistry(
      http: "  tls: {certificate: \(server.file), key: \(server.keyFile), clientcas: [\(client.file)]}")
    try registry.push(
      try TestImage([["a": Data("a".utf8)]]), as: "app",
      arguments: ["--dest-cert-dir=\(try client.directory(for: scratch))"])
    let settings = "server = \"https://\(registry.authority)\"\nca = \"\(server.file)\"\n"
    let both = try scratch.write(
      String(contentsOfFile: client.file, encoding: .utf8) + String(contentsOfFile: client.keyFile, encoding: .utf8),
      to: "both.pem")
    for line in ["client = [[\"\(client.file)\", \"\(client.keyFile)\"]]", "client = \"\(both)\""] {
      let known = try await TestStore(hosts: [registry.authority: settings + line])
      _ = try await known.store.pull("\(registry.authority)/app")
    }
    let unknown = try await TestStore(hosts: [registry.authority: settings])
    let error = await failure { try await unknown.store.pull("\(registry.authority)/app") }
    #expect(error?.code == .unavailable)
    #expect(error?.message.contains("TLS") == true)
  }

  @Test func aCertificateForAnotherNameIsRefused() async throws {
    let scratch = try Scratch()
    let certificate = try Certificate(scratch, name: "tls", subject: "IP:127.0.0.2")
    let registry = try await DockerRegistry(
      http: "  tls: {certificate: \(certificate.file), key: \(certificate.keyFile)}")
    let hosts = [registry.authority: "server = \"https://\(registry.authority)\"\nca = \"\(certificate.file)\""]
    let test = try await TestStore(hosts: hosts)
    let error = await failure { try await test.store.pull("\(registry.authority)/app") }
    #expect(error?.message.contains("TLS") == true)
  }

  @Test func aFileThatIsNoCertificateIsNamed() async throws {
    let scratch = try Scratch()
    let good = try Certificate(scratch, name: "good", subject: "DNS:a")
    _ = try run(
      "openssl", "ec", "-aes256", "-passout", "pass:x", "-in", good.keyFile, "-out", "\(scratch.path)/locked.key")
    let text = try String(contentsOfFile: good.file, encoding: .utf8)
    let half = try scratch.write(text + String(text.prefix(text.count / 2)) + "\n", to: "half.pem")
    let words = try scratch.write("no certificate\n", to: "words.pem")
    for settings in [
      TLSSettings(authorityFiles: [good.file, half]), TLSSettings(authorityFiles: [words]),
      TLSSettings(authorityFiles: [good.keyFile]), TLSSettings(authorityFiles: [scratch.path]),
      TLSSettings(client: .init(certificateFile: good.keyFile, keyFile: good.keyFile)),
      TLSSettings(client: .init(certificateFile: good.file, keyFile: good.file)),
      TLSSettings(client: .init(certificateFile: good.file, keyFile: "\(scratch.path)/locked.key")),
    ] {
      let error = try #require(await failure { try TLSMaterial(settings) })
      #expect(error.code == .failedPrecondition)
      #expect(error.message.contains(scratch.path))
    }
    _ = try TLSMaterial(
      TLSSettings(authorityFiles: [good.file], client: .init(certificateFile: good.file, keyFile: good.keyFile)))
  }

  @Test func aServerWithoutTLSIsTriedOnceAndOneThatBreaksOffAgain() async throws {
    let counts = Mutex([0, 0])
    let plain = try WireServer { wire in
      counts.withLock { $0[0] += 1 }
      wire.send("HTTP/1.1 400 Bad Request\r\n\r\n")
    }
    let broken = try WireServer { wire in
      counts.withLock { $0[1] += 1 }
      wire.reset()
    }
    for (server, mentionsTLS) in [(plain, true), (broken, false)] {
      let test = try await TestStore(hosts: ["registry.test": "server = \"https://\(server.authority)\""]) {
        $0.attempts = 3
      }
      let error = await failure { try await test.store.pull("registry.test/app") }
      #expect(error?.code == .unavailable)
      #expect(error?.message.contains("TLS") == mentionsTLS, "\(String(describing: error))")
    }
    #expect(counts.withLock(\.self) == [1, 3])
  }
}
