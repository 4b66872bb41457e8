import AgentProtocol
import Common
import FoundationEssentials
import Glibc
import Hypervisor
import LinuxSystem
import Synchronization
import Testing

@testable import Pods

/// What a guest may answer on a stream, in place of an agent's answer.
@Suite(.timeLimit(.minutes(1))) struct StatsStreamTests {
  private func stats(_ guests: @Sendable (Int32) -> Void...) throws -> (StatsStream, ScriptedMachine) {
    let machine = ScriptedMachine(guests)
    let reactor = try Reactor.started()
    let stream = StatsStream {
      try await GuestStream(
        machine, secret: "secret", for: .stats, called: "stats of pod a/b", reactor: reactor, within: $0)
    }
    return (stream, machine)
  }

  @Test func oneStreamServesManyQuestions() async throws {
    let (stats, machine) = try stats { guest in
      guest.take("\u{6}secret\u{2}".utf8.count)
      guest.give([0])
      for threads in 1...3 as ClosedRange<UInt64> {
        guest.take(1)
        guest.give(answer { $0.pod.processes = threads })
      }
    }
    for threads in 1...3 as ClosedRange<UInt64> {
      #expect(try await stats.ask(within: .seconds(10)).pod.processes == threads)
    }
    #expect(machine.dialed == 1)
  }

  @Test func aLateAnswerIsNotTakenForTheNext() async throws {
    let (stats, machine) = try stats(
      { guest in
        guest.take("\u{6}secret\u{2}".utf8.count)
        guest.give([0])
        // Until the daemon has given it up.
        guest.take(2)
        guest.give(answer { $0.pod.processes = 1 })
      },
      { guest in
        guest.take("\u{6}secret\u{2}".utf8.count)
        guest.give([0])
        guest.take(1)
        guest.give(answer { $0.pod.processes = 2 })
      })
    let late = try await #require(throws: BulkheadError.self) { try await stats.ask(within: .milliseconds(200)) }
    #expect(late.code == .deadlineExceeded)
    #expect(try await stats.ask(within: .seconds(10)).pod.processes == 2)
    #expect(machine.dialed == 2)
  }

  @Test(
    arguments: [
      [0xff, 0xff, 0xff, 0xff], [0x00, 0x20, 0x00, 0x00], [0, 0, 0, 1, 7, 7], [0, 0, 0, 2, 0xff, 0xff],
      [0, 0, 0, 9, 1], [],
    ] as [[UInt8]])
  func rubbishIsAnErrorAndEndsTheStream(_ rubbish: [UInt8]) async throws {
    let (stats, _) = try stats { guest in
      guest.take("\u{6}secret\u{2}".utf8.count)
      guest.give([0])
      guest.take(1)
      guest.give(rubbish)
    }
    await #expect(throws: (any Error).self) { try await stats.ask(within: .seconds(10)) }
    // There is no other guest to dial.
    let error = try await #require(throws: BulkheadError.self) { try await stats.ask(within: .seconds(10)) }
    #expect(error.code == .unavailable)
  }

  @Test func aRefusalSaysWhose() async throws {
    let (stats, _) = try stats { guest in guest.take("\u{6}secret\u{2}".utf8.count) }
    let error = try await #require(throws: BulkheadError.self) { try await stats.ask(within: .seconds(10)) }
    #expect(error.message.contains("stats of pod a/b"))
  }
}

private func answer(_ fill: (inout Bulkhead_Agent_V1_StatsResponse) -> Void) -> [UInt8] {
  let message: [UInt8] = (try? Bulkhead_Agent_V1_StatsResponse.with(fill).serializedBytes()) ?? []
  return withUnsafeBytes(of: UInt32(message.count).bigEndian) { Array($0) } + message
}

/// A machine whose guest is a script for each connection, on a thread of its own, with the guest's descriptor.
private final class ScriptedMachine: VirtualMachine {
  let id = MachineID.random()
  private let guests: Mutex<[@Sendable (Int32) -> Void]>
  private let count = Atomic(0)

  init(_ guests: [@Sendable (Int32) -> Void]) { self.guests = Mutex(guests) }

  var dialed: Int { count.load(ordering: .relaxed) }

  func dial(port: UInt32, within limit: Duration) async throws -> Int32 {
    guard let guest = guests.withLock({ $0.isEmpty ? nil : $0.removeFirst() }) else {
      throw BulkheadError(.unavailable, "nothing listens")
    }
    count.add(1, ordering: .relaxed)
    var ends: [Int32] = [-1, -1]
    try systemCall("socketpair") { socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) }
    let end = ends[1]
    Task {
      try await onDedicatedThread {
        guest(end)
        close(end)
      }
    }
    return ends[0]
  }

  func attach(_ disk: MachineDisk) async throws {}
  func attach(_ share: MachineShare) async throws {}
  func destroy() async throws {}
  func waitUntilStopped() async -> MachineExit? { nil }
  func status() async throws -> MachineStatus { throw BulkheadError(.notFound, "a script is no process") }
}

/// A guest's descriptor.
extension Int32 {
  fileprivate func take(_ count: Int) {
    var byte: UInt8 = 0
    for _ in 0..<count where recv(self, &byte, 1, 0) != 1 { return }
  }

  fileprivate func give(_ bytes: [UInt8]) { _ = send(self, bytes, bytes.count, Int32(MSG_NOSIGNAL)) }
}
