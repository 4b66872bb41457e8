import Testing
import AgentProtocol
import FoundationEssentials
import GRPCCore
import GRPCNGHTTP2
import Glibc
import LinuxSystem
import TestSupport

typealias AgentClient = Bulkhead_Agent_V1_Agent.Client<NGHTTP2ClientTransport>

/// An agent in namespaces of its own on this machine, with a busybox root filesystem as its one image. Needs
/// root, unshare(1) and a static busybox.
struct AgentHost {
  static let secret = "correct horse"
  static let image = "busybox"
  /// Not below /tmp, over which the agent mounts.
  let directory: String
  let client: AgentClient
  var metadata: Metadata { ["bulkhead-secret": .string(Self.secret)] }

  /// Runs `body` with an agent whose sandbox is made, and takes everything away afterwards.
  static func run(sandbox: Bool = true, _ body: (AgentHost) async throws -> Void) async throws {
    try #require(geteuid() == 0, "the agent's namespaces need root")
    try #require(access("/usr/bin/busybox", X_OK) == 0, "run: apt-get install -y busybox-static")
    var template = Array("/var/tmp/bulkhead-agent-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw SystemError("mkdtemp", errno) }
    let directory = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    defer { shell("rm -rf \(directory)") }
    shell(
      """
      mkdir -p \(directory)/scratch \(directory)/images/\(image); cd \(directory)/images/\(image)
      mkdir -p bin etc tmp home/app; cp /usr/bin/busybox bin/busybox; bin/busybox --install -s bin
      for link in bin/*; do [ -L $link ] && ln -sf busybox $link; done
      printf 'root:x:0:0:root:/root:/bin/sh\\napp:x:1000:1001::/home/app:/bin/sh\\n' > etc/passwd
      printf 'root:x:0:\\napp:x:1001:\\nextra:x:2000:app\\n' > etc/group
      ln -s /nowhere/yet etc/dangling; ln -s /etc outside
      """)
    let cgroup =
      "$(awk '$3 == \"cgroup2\" { print $2; exit }' /proc/mounts)/\(directory.split(separator: "/").last ?? "")"
    let pid = try spawn(
      """
      mkdir \(cgroup) && echo $$ > \(cgroup)/cgroup.procs && exec unshare --mount --pid --ipc --uts --net --cgroup \
      --fork --kill-child \(executable("agent-in-namespace")) \
      \(directory)/socket '\(secret)' \(directory)/images \(directory)/scratch
      """)
    defer {
      kill(pid, SIGKILL)
      waitpid(pid, nil, 0)
      shell(
        "for i in 1 2 3 4 5; do find \(cgroup) -depth -type d -exec rmdir {} + 2>/dev/null && break; sleep 0.1; done")
    }
    try await withGRPCClient(transport: .unix(path: "\(directory)/socket")) { client in
      let host = AgentHost(directory: directory, client: AgentClient(wrapping: client))
      try await eventually("the agent serves") {
        (try? await host.client.health(.init(), metadata: host.metadata)) != nil
      }
      if sandbox { try await host.createSandbox() }
      try await body(host)
    }
  }

  func createSandbox(scratch: String = "scratch") async throws {
    var request = Bulkhead_Agent_V1_CreateSandboxRequest()
    request.hostname = "pod-1"
    request.resolvConf = Data("nameserver 192.0.2.1\n".utf8)
    request.scratchSerial = scratch
    request.sysctls = ["net.ipv4.ip_unprivileged_port_start": "80"]
    _ = try await client.createSandbox(request, metadata: metadata)
  }

  /// Beside this test's own executable.
  private static func executable(_ name: String) -> String {
    var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
    let length = readlink("/proc/self/exe", &buffer, buffer.count)
    let own = String(decoding: buffer.prefix(max(length, 0)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    let beside = own.split(separator: "/").dropLast().joined(separator: "/")
    // swift test may load the tests into a helper of the toolchain.
    return access("/\(beside)/\(name)", X_OK) == 0 ? "/\(beside)/\(name)" : buildDirectory() + "/" + name
  }

  private static func buildDirectory() -> String {
    let bundle = CommandLine.arguments.first { $0.hasSuffix(".xctest") } ?? ""
    return bundle.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
  }
}

@discardableResult
func shell(_ script: String) -> Int32 {
  guard let pid = try? spawn(script) else { return -1 }
  var status: Int32 = 0
  waitpid(pid, &status, 0)
  return status
}

private func spawn(_ script: String) throws -> pid_t {
  let arguments: [UnsafeMutablePointer<CChar>?] = [strdup("sh"), strdup("-c"), strdup(script), nil]
  defer { arguments.forEach { free($0) } }
  var pid: pid_t = 0
  let failure = posix_spawn(&pid, "/bin/sh", nil, nil, arguments, environ)
  guard failure == 0 else { throw SystemError("posix_spawn", failure) }
  return pid
}
