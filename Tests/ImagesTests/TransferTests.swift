import Common
import Foundation
import NIOHTTP1
import Synchronization
import Testing

@testable import Images

/// Transfers that break, wait, repeat and join.
@Suite struct TransferTests {
  private static let image = Result { try TestImage([["a": .noise(3_000_000, seed: 7)]]) }

  private func content(_ image: TestImage) -> HonestRegistry {
    var content = HonestRegistry()
    content.add(image, "app")
    return content
  }

  @Test func aBrokenTransferGoesOnWhereItStopped() async throws {
    let image = try Self.image.get()
    let content = content(image)
    let layer = image.layers[0]
    let server = try await ScriptedServer { request in
      var answer = content.answer(request)
      if request.path.hasSuffix(layer.digest.description), answer.body.count > 500_000 { answer.breaksAfter = 500_000 }
      return answer
    }
    let test = try await TestStore()
    _ = try await test.store.pull("\(server.authority)/app")
    let ranges = server.requests.filter { $0.path.contains(layer.digest.description) }.map { $0.headers["range"].first }
    #expect((7...12).contains(ranges.count))
    #expect(server.bytesSent < 2 * layer.bytes.count)
    #expect(ranges.first == .some(nil))
    #expect(ranges.dropFirst().allSatisfy { $0 != nil })
    #expect(test.files.allSatisfy { !$0.hasPrefix("ingest/") && !$0.hasPrefix("tmp/") })
  }

  @Test func aServerWithoutRangesIsReadFromTheStartAgain() async throws {
    let image = try Self.image.get()
    let content = content(image)
    let breaks = Mutex(2)
    let server = try await ScriptedServer { request in
      var plain = request
      plain = .init(
        method: request.method, path: request.path, query: request.query, headers: [:], body: Data())
      var answer = content.answer(plain)
      if request.path.hasSuffix(image.layers[0].digest.description),
        breaks.withLock({
          $0 -= 1; return $0 >= 0
        })
      {
        answer.breaksAfter = 1_000_000
      }
      return answer
    }
    let test = try await TestStore()
    _ = try await test.store.pull("\(server.authority)/app")
    #expect(test.store.images().count == 1)
  }

  @Test func thePullAfterAFailedOneResumes() async throws {
    let image = try Self.image.get()
    let content = content(image)
    let isBroken = Mutex(true)
    let server = try await ScriptedServer { request in
      var answer = content.answer(request)
      if request.path.hasSuffix(image.layers[0].digest.description), isBroken.withLock(\.self) {
        answer = request.headers["range"].isEmpty ? answer : .init(status: .badGateway)
        answer.breaksAfter = 1_000_000
      }
      return answer
    }
    let scratch = try Scratch()
    let first = try await TestStore(scratch) { $0.attempts = 2 }
    let error = await failure { try await first.store.pull("\(server.authority)/app") }
    #expect(error?.code == .unavailable)
    let partial = "ingest/\(image.layers[0].digest.hex)"
    #expect(first.files == [partial])
    try await first.store.close()

    let kept = StoreFiles.size("\(first.directory)/\(partial)") ?? 0
    #expect(kept > 200_000)
    isBroken.withLock { $0 = false }
    let before = server.bytesSent
    let second = try await TestStore(scratch)
    _ = try await second.store.pull("\(server.authority)/app")
    #expect(server.bytesSent - before < image.layers[0].bytes.count - Int(kept) + 10_000)
    #expect(!second.files.contains(partial))
  }

  @Test func aSpoiledPartialDownloadIsBegunAnew() async throws {
    let image = try Self.image.get()
    let content = content(image)
    let server = try await ScriptedServer { content.answer($0) }
    let scratch = try Scratch()
    let partial = try scratch.directory("store/ingest") + "/\(image.layers[0].digest.hex)"
    try Data(count: 100_000).write(to: URL(fileURLWithPath: partial))
    let test = try await TestStore(scratch)
    #expect(try await test.store.pull("\(server.authority)/app").id == image.id)
  }

  @Test func waitsWhenTheRegistryAsksForIt() async throws {
    let image = try Self.image.get()
    let content = content(image)
    let count = Mutex(0)
    let server = try await ScriptedServer { request in
      let number = count.withLock {
        $0 += 1; return $0
      }
      if number == 1 { return .init(status: .tooManyRequests, headers: [("retry-after", "0")]) }
      return number == 3 ? .init(status: .serviceUnavailable) : content.answer(request)
    }
    let test = try await TestStore()
    _ = try await test.store.pull("\(server.authority)/app")
    #expect(server.requests.count == 5)
  }

  @Test func aSilentRegistryIsGivenUp() async throws {
    let image = try Self.image.get()
    let content = content(image)
    let server = try await ScriptedServer { request in
      var answer = content.answer(request)
      let isRest = !request.headers["range"].isEmpty
      if request.path.hasSuffix(image.layers[0].digest.description) { answer.delay = .seconds(60) }
      answer.isSilent = isRest
      return answer
    }
    let test = try await TestStore {
      $0.attempts = 2
      $0.idleTimeout = .milliseconds(200)
    }
    #expect(await failure { try await test.store.pull("\(server.authority)/app") }?.code == .unavailable)
  }

  @Test func pullsOfTheSameImageJoin() async throws {
    let image = try Self.image.get()
    var both = content(image)
    both.add(image, "other")
    let server = try await ScriptedServer { [both] request in
      var answer = both.answer(request)
      if request.path.hasSuffix(image.layers[0].digest.description) { answer.delay = .milliseconds(10) }
      return answer
    }
    let test = try await TestStore()
    let progress = Mutex<[PullProgress]>([])
    async let first = test.store.pull("\(server.authority)/app") { value in progress.withLock { $0.append(value) } }
    async let second = test.store.pull("\(server.authority)/app:latest")
    async let third = test.store.pull("\(server.authority)/other")
    let impatient = Task { try await test.store.pull("\(server.authority)/app") }
    try await Task.sleep(for: .milliseconds(100))
    impatient.cancel()
    #expect(await failure { try await impatient.value }?.code == .cancelled)
    let records = try await [first, second, third]
    #expect(Set(records.map(\.id)) == [image.id])
    #expect(server.requests.filter { $0.path.hasSuffix(image.layers[0].digest.description) }.count == 1)
    let seen = progress.withLock(\.self)
    #expect(seen.last?.phase == .done)
    #expect(seen.last?.bytesDone == UInt64(image.layers[0].bytes.count))
    #expect(seen.last?.bytesTotal == seen.last?.bytesDone)
    #expect(seen.last?.layersDone == 1)
    #expect(test.store.image("\(server.authority)/app")?.repoDigests.count == 2)
  }

  @Test func otherCredentialsDoNotJoin() async throws {
    let image = try Self.image.get()
    let content = content(image)
    let server = try await ScriptedServer { request in
      guard !request.headers["authorization"].isEmpty else {
        return .init(status: .unauthorized, headers: [("www-authenticate", "Basic realm=x")])
      }
      var answer = content.answer(request)
      answer.delay = .milliseconds(5)
      return answer
    }
    let test = try await TestStore()
    let password = RegistryCredentials(.password(user: "a", password: "b"))
    async let allowed = test.store.pull("\(server.authority)/app", credentials: password)
    #expect(await failure { try await test.store.pull("\(server.authority)/app") }?.code == .unauthenticated)
    #expect(try await allowed.id == image.id)
    #expect(await failure { try await test.store.pull("\(server.authority)/app") }?.code == .unauthenticated)
  }

  @Test func aPullThatTheDaemonsEndCancelsGoesOnAfterIt() async throws {
    let image = try Self.image.get()
    let server = try await slowServer(of: content(image))
    let test = try await TestStore()
    let pull = Task { try await test.store.pull("\(server.authority)/app") }
    while server.bytesSent < 1_500_000 { try await Task.sleep(for: .milliseconds(5)) }
    test.store.prepareToClose()
    pull.cancel()
    #expect(await failure { try await pull.value }?.code == .cancelled)
    try await test.store.close()
    let again = try await TestStore(test.scratch)
    #expect(again.files == ["ingest/\(image.layers[0].digest.hex)"])
    _ = try await again.store.pull("\(server.authority)/app")
    #expect(server.requests.last?.headers["range"].isEmpty == false)
  }

  @Test func aCancelledPullLeavesNothing() async throws {
    let image = try Self.image.get()
    let server = try await slowServer(of: content(image))
    let test = try await TestStore()
    let pull = Task { try await test.store.pull("\(server.authority)/app") }
    while server.bytesSent < 1_000_000 { try await Task.sleep(for: .milliseconds(5)) }
    #expect(!test.files.isEmpty)
    pull.cancel()
    #expect(await failure { try await pull.value }?.code == .cancelled)
    #expect(test.files.isEmpty)
    #expect(try await test.store.pull("\(server.authority)/app").id == image.id)
  }

  /// One whose blobs come in little by little.
  private func slowServer(of content: HonestRegistry) async throws -> ScriptedServer {
    try await ScriptedServer { request in
      var answer = content.answer(request)
      if request.path.contains("/blobs/") { answer.delay = .milliseconds(20) }
      return answer
    }
  }
}
