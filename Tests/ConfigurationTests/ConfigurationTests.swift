import Common
import Foundation
import Testing

@testable import BulkheadConfiguration

/// The messages that `text` is refused with, a line each.
private func refusals(_ text: String) -> [String] {
  do {
    _ = try Configuration.parse(text, file: "config.toml")
    return []
  } catch {
    return error.message.split(separator: "\n").map(String.init)
  }
}

@Test func `the printed default is the default`() throws {
  #expect(try Configuration.parse(Configuration.documentedDefault(), file: "default") == Configuration())
  #expect(try Configuration.parse("", file: "empty") == Configuration())
}

@Test func `every key of the printed default can be set, those in comments too`() throws {
  let text = Configuration.documentedDefault().replacing(/\n#(\w+ = )/) { "\n\($0.output.1)" }
  let parsed = try Configuration.parse(text, file: "default")
  #expect(parsed.daemon.socket == "/run/bulkhead/bulkhead.sock")
  #expect(parsed.vm.maxVCPUs == 8)
  // What was read is written again as it was.
  #expect(parsed.documented() == text)
}

@Test func `keys and their documentation`() {
  #expect(Set(Setting.all.map(\.key)).count == Setting.all.count)
  for setting in Setting.all {
    #expect(!setting.documentation.isEmpty, "\(setting.key)")
    #expect(setting.documentation.last == "." || setting.documentation.last == ")", "\(setting.key)")
  }
}

@Test func `values reach their places`() throws {
  let configuration = try Configuration.parse(
    """
    daemon.state_dir = "/srv/b/"
    [vm]
    memory = "1GiB"
    boot_timeout = "1500ms"
    vcpus = 0x4
    [container]
    rlimits = [
      "nofile=10:20", # a comment, with "quotes" and ]
      'core=0:unlimited',
    ]
    """, file: "config.toml")
  #expect(configuration.daemon.stateDirectory == "/srv/b")
  #expect(configuration.libvirtRoot == "/srv/b/libvirt")
  #expect(configuration.vm.memory == .gibibytes(1))
  #expect(configuration.vm.bootTimeout == .milliseconds(1500))
  #expect(configuration.vm.vcpus == 4)
  #expect(
    configuration.container.resourceLimits == [
      ResourceLimit(name: "nofile", soft: 10, hard: 20),
      ResourceLimit(name: "core", soft: 0, hard: ResourceLimit.unlimited),
    ])
}

@Test func `every mistake is told at once, with its line`() {
  let text = """
    # a comment
    [vm]
    memroy = "1GiB"
    memory = "256M"
    boot_timeout = '''
    1s
    '''
    vcpus = "four" # [not a header]
    [images]
    pinned = ["a", 1]
    certs_dir = "etc/certs"
    [imagse]
    """
  #expect(
    refusals(text) == [
      "config.toml:3: vm.memroy: no such key; did you mean memory?",
      "config.toml:4: vm.memory: \"256M\" is no size: write a whole number and one of B, KiB, MiB, GiB, TiB",
      "config.toml:5: vm.boot_timeout: control characters are not allowed",
      "config.toml:8: vm.vcpus: expected a number, not a string",
      "config.toml:10: images.pinned: expected a string in quotes, not a number",
      "config.toml:11: images.certs_dir: \"etc/certs\" is not an absolute path",
      "config.toml:12: imagse: no such section; did you mean images?",
    ])
}

@Test(arguments: [
  ("[vm]\nvcpus = 0", "config.toml:2: vm.vcpus: 0 is out of range (1 to 1024)"),
  ("[vm]\nmemory = \"1MiB\"", "config.toml:2: vm.memory: 1MiB is out of range (128MiB to 1TiB)"),
  ("[vm]\nmemory = \"99999999999999999999TiB\"", "config.toml:2: vm.memory: \"99999999999999999999TiB\" is too large"),
  ("[vm]\nmemory = \"2GiB\"\nmax_memory = \"1GiB\"", "config.toml:3: vm.max_memory: less than vm.memory (2.0 GiB)"),
  ("vm = { accelerator = \"xen\" }", "config.toml:1: vm.accelerator: \"xen\" is none of auto, kvm, tcg"),
  ("vm = 1", "config.toml:1: vm: expected a section: [vm]"),
  (
    "[daemon]\nstate_dir = \"/a/../b\"",
    "config.toml:2: daemon.state_dir: \"/a/../b\": write the path without \".\" and \"..\""
  ),
  (
    "[vm]\nuid_base = 4294000000\nuid_count = 1000000",
    "config.toml:3: vm.uid_count: uid_base and uid_count reach past the last user id"
  ),
  (
    "[container]\nrlimits = [\"nofile=2:1\"]",
    "config.toml:2: container.rlimits: \"nofile=2:1\": the soft limit is above the hard one"
  ),
  (
    "[container]\nrlimits = [\"files=1:1\", \"x\"]",
    "config.toml:2: container.rlimits: \"files=1:1\": no such limit; there are as, core, cpu, data, fsize, locks, memlock, msgqueue, nice, nofile, nproc, rss, rtprio, rttime, sigpending, stack"
  ),
])
func `a bad value is refused with line and reason`(text: String, message: String) {
  #expect(refusals(text) == [message])
}

@Test func `a socket's path fits into an address`() {
  let long = String(repeating: "d", count: 100)
  #expect(
    refusals("[daemon]\nsocket = \"/\(long)/abcdefg\"") == [
      "config.toml:2: daemon.socket: the path is longer than 107 bytes"
    ])
  #expect(refusals("[daemon]\nrun_dir = \"/\(long)\"").first?.hasPrefix("config.toml:2: daemon.run_dir: /ddd") == true)
}

@Test func `what is not TOML is refused with its line`() {
  #expect(refusals("[vm]\nmemory = \n").first?.hasPrefix("config.toml:2: not TOML (line 2, column ") == true)
  #expect(refusals("x = 1\n") == ["config.toml:1: x: no such key; keys stand in sections"])
  #expect(refusals("[vm]\nvcpus = 1\nvcpus = 2").first?.hasPrefix("config.toml:3: ") == true)
  #expect(refusals("a\0b") == ["config.toml:1: not TOML (line 1, column 2): it has a NUL byte"])
  #expect(
    refusals("[vm]\nvcpus = 1\n[=").first?.hasPrefix("config.toml:3: not TOML (line 3, column 2): after the bracket")
      == true)
}

@Test func `the environment overrides the accelerator`() throws {
  var configuration = Configuration()
  try configuration.apply(environment: [:])
  #expect(configuration.vm.accelerator == .auto)
  try configuration.apply(environment: ["BULKHEAD_ACCEL": "tcg"])
  #expect(configuration.vm.accelerator == .tcg)
  #expect(throws: BulkheadError.self) { try configuration.apply(environment: ["BULKHEAD_ACCEL": "fast"]) }
}

@Test func `files that can't be read say why`() throws {
  let path = NSTemporaryDirectory() + "bulkhead-config-\(UUID().uuidString).toml"
  defer { try? FileManager.default.removeItem(atPath: path) }
  #expect { try Configuration.load(path: path, environment: [:]) } throws: { ($0 as? BulkheadError)?.code == .notFound }
  try Data([0xff, 0xfe]).write(to: URL(fileURLWithPath: path))
  #expect { try Configuration.load(path: path, environment: [:]) } throws: { "\($0)".hasSuffix("not UTF-8") }
  try Data("[vm]\nvcpus = 2".utf8).write(to: URL(fileURLWithPath: path))
  #expect(try Configuration.load(path: path, environment: [:]).vm.vcpus == 2)
}
