import CNI
import Common
import Foundation
import Testing

@Suite struct PluginRunnerTests {
  private let result =
    #"{"cniVersion":"1.0.0","interfaces":[{"name":"eth0","sandbox":"/n"}],"ips":[{"address":"10.0.0.2/24"}],"extra":{"kept":1}}"#

  private func chain(_ version: String = "1.0.0") throws -> NetworkConfiguration {
    try network(
      #"{"cniVersion":"\#(version)","name":"net","plugins":[{"type":"one","unknown":{"deep":[1,2.5,null,true]}},"#
        + #"{"type":"two","capabilities":{"portMappings":true,"bandwidth":false}}]}"#)
  }

  @Test func aChainOfTwo() async throws {
    let scratch = try Scratch()
    try scratch.recording("one", result: result)
    try scratch.recording("two", result: result)
    let asked = try request(["portMappings": .array([]), "bandwidth": .object([:])])
    var attachment = Attachment(network: try chain(), request: asked)
    attachment.result = try await scratch.runner().add(attachment)
    #expect(attachment.result?.addresses == ["10.0.0.2/24"])
    #expect(attachment.result?.interfaces.map(\.name) == ["eth0"])
    try await scratch.runner().check(attachment)
    try await scratch.runner().delete(attachment)

    let calls = scratch.calls
    #expect(
      calls.map { "\($0["command"] ?? "") \($0["name"] ?? "")" } == [
        "ADD one", "ADD two", "CHECK one", "CHECK two", "DEL two", "DEL one",
      ])
    for call in calls {
      #expect(call["id"] == "c1" && call["ifname"] == "eth0")
      #expect(
        call["args"]
          == "IgnoreUnknown=1;K8S_POD_NAMESPACE=space;K8S_POD_NAME=name;K8S_POD_INFRA_CONTAINER_ID=c1;K8S_POD_UID=uid")
    }
    let configurations = try calls.map { call in
      try JSONDecoder().decode(JSONValue.self, from: Data((call["config"] ?? "").utf8))
    }
    #expect(configurations[0]["prevResult"] == nil)
    #expect(configurations[0]["unknown"]?["deep"] == .array([.integer(1), .number(2.5), .null, .bool(true)]))
    #expect(configurations[1]["prevResult"]?["extra"]?["kept"] == .integer(1))
    #expect(configurations[1]["runtimeConfig"] == .object(["portMappings": .array([])]))
    #expect(configurations[0]["runtimeConfig"] == nil)
    #expect(configurations.allSatisfy { $0["name"] == .string("net") && $0["cniVersion"] == .string("1.0.0") })
    #expect(configurations[2...].allSatisfy { $0["prevResult"]?["ips"] != nil })
  }

  @Test func oldVersionsHaveNoCheckAndNoResultForDelete() async throws {
    let scratch = try Scratch()
    try scratch.recording("one", result: #"{"cniVersion":"0.3.1","ips":[{"version":"4","address":"10.0.0.2/24"}]}"#)
    try scratch.recording("two", result: #"{"cniVersion":"0.3.1","ips":[{"version":"4","address":"10.0.0.2/24"}]}"#)
    var attachment = Attachment(network: try chain("0.3.1"), request: try request())
    attachment.result = try await scratch.runner().add(attachment)
    try await scratch.runner().check(attachment)
    try await scratch.runner().delete(attachment)
    #expect(scratch.calls.map { $0["command"] } == ["ADD", "ADD", "DEL", "DEL"])
    #expect(scratch.calls.suffix(2).allSatisfy { $0["config"]?.contains("prevResult") == false })
    try await scratch.runner().status(attachment.network)
    #expect(scratch.calls.count == 4)
  }

  /// A plugin may answer in another version than it was asked in; the next is given the network's.
  @Test(arguments: [("0.4.0", "1.0.0"), ("1.0.0", "0.3.1"), ("1.1.0", "1.0.0")])
  func resultsAreConverted(_ version: String, _ answered: String) async throws {
    let scratch = try Scratch()
    try scratch.recording("one", result: #"{"cniVersion":"\#(answered)","ips":[{"address":"fd00::2/64"}]}"#)
    try scratch.recording("two", result: #"{"cniVersion":"\#(version)"}"#)
    _ = try await scratch.runner().add(Attachment(network: try chain(version), request: try request()))
    let given = try JSONDecoder().decode(JSONValue.self, from: Data((scratch.calls[1]["config"] ?? "").utf8))
    #expect(given["prevResult"]?["cniVersion"] == .string(version))
    #expect(given["prevResult"]?["ips"]?.array?[0]["version"] == (version == "0.4.0" ? .string("6") : nil))
  }

  @Test func statusAndGarbageCollection() async throws {
    let scratch = try Scratch()
    try scratch.recording("one")
    try scratch.plugin("two", #"[ $CNI_COMMAND = STATUS ] && echo '{"code":50,"msg":"no uplink"}' && exit 1; exit 0"#)
    let network = try chain("1.1.0")
    await #expect(throws: BulkheadError.self) { try await scratch.runner().status(network) }
    try await scratch.runner().collectGarbage(network, valid: [try request()])
    let last = try JSONDecoder().decode(JSONValue.self, from: Data((scratch.calls.last?["config"] ?? "").utf8))
    #expect(
      last["cni.dev/valid-attachments"]
        == .array([.object(["containerID": .string("c1"), "ifname": .string("eth0")])]))
    do { try await scratch.runner().status(network) } catch let error as BulkheadError {
      #expect(error.code == .unavailable && error.message.contains("no uplink"))
    }
  }

  @Test func aPluginsOwnWordsReachTheCaller() async throws {
    let scratch = try Scratch()
    try scratch.plugin(
      "one",
      "printf 'on\\033[2J stderr' >&2; echo '{\"code\":7,\"msg\":\"bad config\",\"details\":\"because\"}'; exit 1")
    let error = await failure(scratch, "one")
    for part in ["one", "ADD", "bad config", "because", "code 7", #"on\u{1b}[2J stderr"#] {
      #expect(error.message.contains(part), "\(error.message)")
    }
  }

  @Test(arguments: [
    ("echo rubbish", "printed no JSON"), ("echo '[1]'", "printed no result"), ("kill -SEGV $$", "signal 11"),
    ("exit 3", "ended with 3"), ("echo '{\"cniVersion\":\"9.9.9\"}'", "9.9.9"), ("echo '{\"ips\":7}'", "no list"),
    ("sleep 1000", "killed"), ("sleep 1000 & exec sleep 1000", "killed"), ("exec yes", "more than"),
    ("trap '' TERM; while :; do sleep 1; done", "killed"),
  ])
  func aPluginThatMisbehaves(_ script: String, _ expected: String) async throws {
    let scratch = try Scratch()
    let lifeline = try Lifeline(scratch)
    try scratch.plugin("one", "\(lifeline.script) echo $$ > \(scratch.path)/pid; \(script)")
    let error = await failure(scratch, "one", deadline: .seconds(2))
    #expect(error.message.contains(expected), "\(error.message)")
    let pid = try #require(Int32(scratch.text("pid").split(separator: "\n").first ?? ""))
    // It was waited for, and children that it left have ended too; these are its reaper's, not ours.
    #expect(kill(pid, 0) == -1 && errno == ESRCH)
    try await lifeline.waitForEnd()
  }

  @Test func aPluginThatIsNotThere() async throws {
    let scratch = try Scratch()
    let error = await failure(scratch, "missing")
    #expect(error.code == .failedPrecondition && error.message.contains("cni_bin_dir"))
  }

  @Test func cancellationEndsAPlugin() async throws {
    let scratch = try Scratch()
    let lifeline = try Lifeline(scratch)
    try scratch.plugin("one", "\(lifeline.script) sleep 1000")
    let task = Task { await failure(scratch, "one", deadline: .seconds(100)) }
    try await lifeline.waitForStart()
    task.cancel()
    #expect(await task.value.code == .cancelled)
    try await lifeline.waitForEnd()
  }

  @Test func oneFailedDeleteDoesNotKeepOthersFromTheirs() async throws {
    let scratch = try Scratch()
    try scratch.recording("one")
    try scratch.plugin("two", "exit 1")
    await #expect(throws: BulkheadError.self) {
      try await scratch.runner().delete(Attachment(network: try chain(), request: try request()))
    }
    #expect(scratch.calls.map { $0["command"] } == ["DEL"])
  }

  @Test func namesThatWouldEndAnArgumentAreRefused() {
    #expect(throws: BulkheadError.self) {
      try AttachmentRequest(
        containerID: "c", namespace: "/n", interface: "eth0", pod: ("a;K8S_POD_NAME=b", "n", "u"), capabilities: [:])
    }
  }

  private func failure(_ scratch: Scratch, _ type: String, deadline: Duration = .seconds(10)) async -> BulkheadError {
    do {
      let network = try network(#"{"cniVersion":"1.0.0","name":"n","plugins":[{"type":"\#(type)"}]}"#)
      _ = try await scratch.runner(deadline: deadline).add(Attachment(network: network, request: try request()))
    } catch { return BulkheadError.wrapping(error, "") }
    return BulkheadError(.internalError, "it succeeded")
  }
}
