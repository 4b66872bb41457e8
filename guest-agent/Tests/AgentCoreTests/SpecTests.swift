import AgentProtocol
import ContainerInit
import FoundationEssentials
import GRPCCore
import SwiftProtobuf
import Testing

@testable import AgentCore

struct SpecTests {
  private func request(
    _ edit: (inout Bulkhead_Agent_V1_ContainerSpec) -> Void = { _ in }
  ) -> Bulkhead_Agent_V1_CreateContainerRequest {
    var request = Bulkhead_Agent_V1_CreateContainerRequest()
    request.containerID = "c1"
    request.imageSerial = "image"
    request.spec.process.args = [Data("true".utf8)]
    edit(&request.spec)
    return request
  }

  private func plan(
    _ edit: (inout Bulkhead_Agent_V1_ContainerSpec) -> Void = { _ in }
  ) throws -> ContainerPlan {
    try ContainerPlan(request(edit), podFiles: ["hosts"])
  }

  @Test func everyContainerHasTheDefaults() throws {
    let plan = try plan()
    let destinations = plan.job.mounts.map { String(decoding: $0.destination, as: UTF8.self) }
    #expect(
      destinations == [
        "/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys", "/sys/fs/cgroup", "/etc/hosts",
      ])
    #expect(plan.job.maskedPaths == [Array("/sys/firmware".utf8)])
    #expect(plan.job.devices.count == 6)
    #expect(plan.devices?.isEmpty == false)
  }

  @Test func aMountTakesTheDefaultsPlace() throws {
    let plan = try plan { spec in
      var mount = Bulkhead_Agent_V1_Mount()
      mount.type = "tmpfs"
      mount.destination = Data("/dev//".utf8)
      mount.options = ["size=1k", "noexec", "rro", "rslave"]
      spec.mounts = [mount]
      spec.linux.privileged = true
    }
    #expect(plan.job.mounts[1].data == [Array("size=1k".utf8)])
    // MOUNT_ATTR_NOEXEC and MOUNT_ATTR_RDONLY (mount_setattr(2)).
    #expect(plan.job.mounts[1].attributes == 8)
    #expect(plan.job.mounts[1].recursiveAttributes == 1)
    #expect(plan.job.mounts[1].recursivePropagation)
    #expect(plan.devices == nil)
    #expect(plan.job.allDevices)
  }

  @Test func nonsenseIsRefusedAtTheDoor() {
    typealias Edit = (inout Bulkhead_Agent_V1_ContainerSpec) -> Void
    let edits: [Edit] = [
      { $0.process.args = [] },
      { $0.process.args = [Data([1, 0, 2])] },
      { $0.process.cwd = Data("relative".utf8) },
      { $0.process.capabilities.bounding = ["CHOWN"] },
      { $0.process.capabilities.bounding = ["CAP_WHATEVER"] },
      { $0.process.rlimits = [.with { $0.type = "RLIMIT_NONE" }] },
      {
        $0.process.rlimits = [
          .with {
            $0.type = "RLIMIT_NOFILE"; $0.soft = 2; $0.hard = 1
          }
        ]
      },
      { $0.process.oomScoreAdj = 1001 },
      { $0.process.user.uid = .max },
      {
        $0.mounts = [
          .with {
            $0.type = "ext4"; $0.destination = Data("/x".utf8)
          }
        ]
      },
      {
        $0.mounts = [
          .with {
            $0.type = "bind"; $0.destination = Data("/x".utf8); $0.source = Data("x".utf8)
          }
        ]
      },
      {
        $0.mounts = [
          .with {
            $0.type = "bind"; $0.destination = Data("/x".utf8); $0.source = Data("/x".utf8); $0.options = ["loop"]
          }
        ]
      },
      {
        $0.linux.devices = [
          .with {
            $0.path = Data("/dev/x".utf8); $0.type = "p"
          }
        ]
      },
      { $0.linux.namespaces.pid = .target },
      { $0.linux.maskedPaths = [Data("proc".utf8)] },
      { $0.linux.namespaces.pid = .UNRECOGNIZED(9) },
    ]
    for (index, edit) in edits.enumerated() {
      let error = #expect(throws: RPCError.self, "case \(index)") { try plan(edit) }
      #expect(error?.code == .invalidArgument)
    }
  }

  @Test func profilesBecomePrograms() throws {
    let compiler = SeccompCompiler()
    var profile = Bulkhead_Agent_V1_Seccomp()
    profile.defaultAction = "SCMP_ACT_ERRNO"
    profile.architectures = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]
    profile.flags = ["SECCOMP_FILTER_FLAG_LOG"]
    profile.syscalls = [
      .with {
        $0.names = ["read", "mseal"]
        $0.action = "SCMP_ACT_ALLOW"
        $0.args = [
          .with {
            $0.index = 0; $0.value = 1; $0.op = "SCMP_CMP_EQ"
          },
          .with {
            $0.index = 0; $0.value = 2; $0.op = "SCMP_CMP_EQ"
          },
        ]
      }
    ]
    let program = try compiler.compile(profile)
    #expect(program.bytes.count % 8 == 0 && program.bytes.count > 64)
    #expect(program.flags == 2)
    for edit: (inout Bulkhead_Agent_V1_Seccomp) -> Void in [
      { $0.defaultAction = "" }, { $0.architectures = ["X86"] }, { $0.flags = ["NONE"] },
      { $0.syscalls[0].action = "SCMP_ACT_NOTIFY" }, { $0.syscalls[0].args[0].op = "EQ" },
      { $0.syscalls[0].args[0].index = 6 }, { $0.syscalls[0].names = ["raed"] },
    ] {
      var bad = profile
      edit(&bad)
      #expect(throws: RPCError.self) { try compiler.compile(bad) }
    }
  }

  @Test func sysctlKeysStayBelowProcSys() throws {
    var request = Bulkhead_Agent_V1_CreateSandboxRequest()
    request.scratchSerial = "s"
    request.sysctls = ["net.ipv4.conf.eth0/1.forwarding": "1"]
    #expect(try SandboxPlan(request).sysctls.map(\.path) == ["net/ipv4/conf/eth0.1/forwarding"])
    for key in ["", "..", "kernel..x", "kernel.//", "a.b/../../c", "kernel.x y"] {
      request.sysctls = [key: "1"]
      #expect(throws: RPCError.self) { try SandboxPlan(request) }
    }
  }
}
