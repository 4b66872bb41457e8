import Foundation
import Testing

@testable import BulkheadCLI

private func lines(_ text: String) -> [String] { text.split(separator: "\n").map(String.init) }

@Test func `pods in a table, as JSON, and by id`() async throws {
  try await Harness.serving { harness in
    #expect(try await harness.ctl("pods", "-o", "json").output == "[]\n")
    harness.populate()
    #expect(
      lines(try await harness.ctl("pods").output) == [
        "POD ID         NAMESPACE  NAME    STATE      ATTEMPT  AGE",
        "a100000000000  shop       web     not ready        0   1h",
        "a200000000000  shop       数据库  ready            0   2h",
      ])
    let json = try await harness.ctl("pods", "-o", "json").output
    let rows = try #require(JSONSerialization.jsonObject(with: Data(json.utf8)) as? [[String: Any]])
    #expect(rows.map { $0["name"] as? String } == ["web", "数据库"])
    #expect(rows[0]["createdAt"] as? String == "2026-02-02T01:40:00.000000000Z")
    #expect(try await harness.ctl("pods", "-q", "--ready").output == "a2" + String(repeating: "0", count: 62) + "\n")
  }
}

@Test func `names can't move the cursor`() async throws {
  try await Harness.serving { harness in
    harness.populate()
    harness.daemon.state.withLock { $0.pods[0].metadata.name = "x\u{1b}[2J\ny" }
    let output = try await harness.ctl("pods").output
    #expect(output.contains("x\\u{1b}[2J\\u{a}y"))
    #expect(lines(output).count == 3)
  }
}

@Test func `containers show their pods and images as people named them`() async throws {
  try await Harness.serving { harness in
    harness.populate()
    #expect(
      lines(try await harness.ctl("containers").output) == [
        "CONTAINER ID   POD          NAME  STATE    ATTEMPT  IMAGE              AGE",
        "b200000000000  shop/数据库  main  running        0  example.org/app:1   1m",
        "b100000000000  shop/web     main  exited         0  example.org/app:1   1m",
      ])
    let outcome4 = try await harness.ctl("containers", "-q", "--pod", "shop/web")
    #expect(lines(outcome4.output).count == 1)
    let outcome5 = try await harness.ctl("containers", "-q", "--running")
    #expect(lines(outcome5.output).first?.hasPrefix("b2") == true)
  }
}

@Test func `images by tag`() async throws {
  try await Harness.serving { harness in
    harness.daemon.state.withLock { state in
      state.images = [
        .with {
          $0.id = "sha256:" + String(repeating: "e", count: 64)
          $0.repoTags = ["example.org/b:1", "example.org/a:1"]
          $0.size = 3 << 20
          $0.pinned = true
        },
        .with {
          $0.id = "sha256:" + String(repeating: "f", count: 64)
          $0.size = 100
        },
      ]
    }
    let expected = [
      "IMAGE            IMAGE ID          SIZE",
      "<none>           fffffffffffff    100 B",
      "example.org/a:1  eeeeeeeeeeeee  3.0 MiB  pinned",
      "example.org/b:1  eeeeeeeeeeeee  3.0 MiB  pinned",
    ]
    let outcome6 = try await harness.ctl("images")
    #expect(lines(outcome6.output) == expected)
    let outcome7 = try await harness.ctl("image", "ls")
    #expect(lines(outcome7.output) == expected)
    let outcome8 = try await harness.ctl("images", "-q")
    #expect(lines(outcome8.output).count == 2)
  }
}

@Test func `pods are found by id, name and prefix, if only one is meant`() async throws {
  try await Harness.serving { harness in
    harness.populate()
    for name in ["a1", "web", "shop/web", "a1" + String(repeating: "0", count: 62)] {
      let outcome = try await harness.ctl("inspect", name, "-o", "json")
      #expect(outcome.code == 0 && outcome.output.contains("\"a1000"), "\(name): \(outcome.errors)")
    }
    let ambiguous = try await harness.ctl("inspect", "a")
    #expect(ambiguous.code == 1)
    #expect(ambiguous.errors == "bulkheadctl: \"a\" could be 2 pods: a100000000000, a200000000000\n")
    let unknown = try await harness.ctl("inspect", "0123\u{1b}")
    #expect(unknown.code == 1 && unknown.errors == "bulkheadctl: there is no pod \"0123\\u{1b}\"\n")
    // A name counts before a prefix.
    harness.daemon.state.withLock { $0.pods[1].metadata.name = "a1" }
    let outcome1 = try await harness.ctl("inspect", "a1", "-o", "json")
    #expect(outcome1.output.contains("\"a2000"))
    let outcome2 = try await harness.ctl("exec", "main", "--", "x")
    #expect(outcome2.errors.contains("could be 2 containers"))
    #expect(try await harness.ctl("exec", "web/main", "--kill-after", "10m", "--", "x").code == 42)
  }
}

@Test func `inspect shows the machine, its guest and its boot`() async throws {
  try await Harness.serving { harness in
    harness.populate()
    harness.daemon.state.withLock { state in
      state.inspection = .with {
        $0.namespace = "shop"
        $0.name = "web"
        $0.uid = "uid-0"
        $0.state = "ready"
        $0.createdNanoseconds = Harness.now - 60_000_000_000
        $0.vm.accelerator = "tcg"
        $0.vm.qemuPid = 4711
        $0.vm.uid = 1_879_048_192
        $0.vm.vcpus = 2
        $0.vm.memoryBytes = 256 << 20
        $0.vm.qemuResidentBytes = 90 << 20
        $0.vm.disks = [
          .with {
            $0.serial = "scratch"
            $0.sizeBytes = 10 << 30
            $0.files = 1
          }
        ]
        $0.guest.kernelRelease = "6.1.100"
        $0.guest.agentVersion = "0.1.0"
        $0.guest.cpus = 2
        $0.guest.memoryTotalBytes = 240 << 20
        $0.guest.memoryAvailableBytes = 200 << 20
        $0.guest.uptimeMilliseconds = 61_000
        $0.bootPhases = [
          .with {
            $0.name = "guest boot"
            $0.startMicroseconds = 200_000
            $0.durationMicroseconds = 1_000_000
          },
          .with {
            $0.name = "vm start"
            $0.startMicroseconds = 850
            $0.durationMicroseconds = 199_150
          },
        ]
        $0.containers = [
          .with {
            $0.id = "b1" + String(repeating: "0", count: 62)
            $0.name = "main"
            $0.state = "exited"
            $0.exitCode = 3
          }
        ]
      }
    }
    let output = try await harness.ctl("inspect", "web").output
    for text in [
      "Pod      shop/web\n", "State    ready\n", "(1m ago)",
      "QEMU         pid 4711, user 1879048192, 90.0 MiB resident",
      "CPUs         2, the guest sees 2", "256.0 MiB, the guest sees 240.0 MiB, 200.0 MiB of it available",
      "Guest        Linux 6.1.100, up 1m", "scratch  10.0 GiB      1  writable", "exited (3)",
      "vm start      850 µs  199.1 ms  ██████", "guest boot  200.0 ms    1.00 s        ████",
    ] {
      #expect(output.contains(text), "no \(text) in:\n\(output)")
    }
    let json = try await harness.ctl("inspect", "web", "-o", "json").output
    let view = try #require(JSONSerialization.jsonObject(with: Data(json.utf8)) as? [String: Any])
    #expect((view["vm"] as? [String: Any])?["qemuPID"] as? Int == 4711)
  }
}

@Test func `a guest that does not answer is said to`() async throws {
  try await Harness.serving { harness in
    harness.populate()
    harness.daemon.state.withLock { state in
      state.inspection.vm.accelerator = "kvm"
      state.inspection.guest.unreachable = "no answer\u{1b} in 2 s"
    }
    let output = try await harness.ctl("inspect", "web").output
    #expect(output.contains("Guest        does not answer: no answer\\u{1b} in 2 s"))
  }
}

@Test func `version and status`() async throws {
  try await Harness.serving { harness in
    let version = try await harness.ctl("version")
    #expect(version.output.contains("accelerator   tcg (no /dev/kvm)") && version.output.contains("1.2.3"))
    let outcome3 = try await harness.ctl("version", "-o", "json")
    #expect(outcome3.output.contains("\"runtimeName\" : \"bulkhead\""))
    let status = try await harness.ctl("status")
    #expect(status.code == 1)
    #expect(status.output.contains("NetworkReady  no   NetworkPluginNotReady  no CNI configuration"))
  }
}
