import CRI
import Common
import Pods
import TestSupport
import Testing

@testable import CRIServer

@Suite struct SecurityTranslationTests {
  private func seccomp(
    _ change: (inout Runtime_V1_LinuxContainerSecurityContext) -> Void
  ) throws -> ContainerConfiguration.SeccompChoice {
    try SecurityTranslation.seccomp(.with(change))
  }

  @Test func seccompProfilesAreNamedInTwoFields() throws {
    #expect(try seccomp { _ in } == .unconfined)
    #expect(try seccomp { $0.seccompProfilePath = "docker/default" } == .runtimeDefault)
    #expect(try seccomp { $0.seccompProfilePath = "localhost//a/b.json" } == .localhost("/a/b.json"))
    // The newer field wins.
    #expect(
      try seccomp {
        $0.seccompProfilePath = "runtime/default"
        $0.seccomp.profileType = .unconfined
      } == .unconfined)
    for reference in ["", "relative", "localhost/relative", "/a/../b", "/nul\0"] {
      #expect(throws: BulkheadError.self, "\(reference)") {
        try seccomp {
          $0.seccomp.profileType = .localhost
          $0.seccomp.localhostRef = reference
        }
      }
    }
  }

  @Test func namesOfSysctls() throws {
    #expect(
      try Sysctls.checked(["net/ipv4/conf/eth0.1/forwarding": "1", "fs.mqueue.msg_max": "8"])
        == ["net.ipv4.conf.eth0/1.forwarding": "1", "fs.mqueue.msg_max": "8"])
    for key in [
      "", ".", "/", "net", "net.", "netx.y", "kernel.shm", "kernel.shmmaxx", "kernel.core_pattern", "vm.swappiness",
      "net.ipv4/..", "net.a b", "net.\u{1}", "net." + String(repeating: "a", count: 300), "fs.file-max",
    ] {
      let error = #expect(throws: BulkheadError.self, "\(key)") { try Sysctls.checked([key: "1"]) }
      #expect(error?.code == .invalidArgument)
    }
    #expect(throws: BulkheadError.self) { try Sysctls.checked(["net.core.somaxconn": "1\n"]) }
  }

  /// Whatever a client writes comes out as a name below the allowed ones, or is refused.
  @Test func noNameLeavesItsFamily() {
    var random = SeededRandom(seed: 7)
    let pieces = ["net", "kernel", "fs", "mqueue", "sem", "..", ".", "/", "//", "ipv4", "\0", "é", " ", "core_pattern"]
    for _ in 0..<5000 {
      let key = (0..<Int.random(in: 1...6, using: &random)).map { _ in pieces.randomElement(using: &random) ?? "" }
        .joined(separator: Bool.random(using: &random) ? "." : "/")
      guard let names = try? Sysctls.checked([key: "1"]) else { continue }
      for name in names.keys {
        #expect(name.hasPrefix("net.") || name.hasPrefix("fs.mqueue.") || name == "kernel.sem", "\(key)")
        #expect(
          !name.split(whereSeparator: { $0 == "." || $0 == "/" }).isEmpty && !name.contains("..")
            && !name.contains("\0"))
      }
    }
  }

  @Test func aPodWithoutAHostNameIsCalledByItsOwn() throws {
    let spec = try podSpec(
      .with {
        $0.config.metadata.name = "under_score.é"
        $0.config.metadata.namespace = "n"
      })
    #expect(spec.hostname == "under-score.--")
  }
}
