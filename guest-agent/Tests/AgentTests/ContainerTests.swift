import AgentProtocol
import FoundationEssentials
import GRPCCore
import Testing

@Suite(.serialized, .timeLimit(.minutes(2)))
struct ContainerTests {
  @Test func aContainerRunsAndItsOutputAndExitAreKnown() async throws {
    try await AgentHost.run { agent in
      let (text, exit) = try await agent.run("c1", AgentHost.spec("echo hello; echo oops >&2; exit 7"))
      #expect(text == "hello\noops\n")
      #expect(exit.code == 7)
      #expect(exit.startError.isEmpty)
      let killed = try await agent.run("c2", AgentHost.spec("kill -9 $$")).exit
      #expect(killed.code == 137)
    }
  }

  @Test func aCallerWithoutTheSecretIsTurnedAway() async throws {
    try await AgentHost.run { agent in
      for metadata: Metadata in [[:], ["bulkhead-secret": "correct horsf"]] {
        let error = await #expect(throws: RPCError.self) { try await agent.client.health(.init(), metadata: metadata) }
        #expect(error?.code == .unauthenticated)
      }
      _ = try await agent.client.health(.init(), metadata: agent.metadata)
    }
  }

  @Test func aContainerSeesItsPodAndNothingOfTheGuest() async throws {
    try await AgentHost.run { agent in
      var spec = AgentHost.spec(
        """
        hostname; cat /etc/hostname /etc/resolv.conf; cat /proc/1/comm; cat /proc/sys/net/ipv4/ip_unprivileged_port_start
        ls /sys/firmware | wc -l; ls /proc/self/fd | wc -l; mount | grep -c ' on / type overlay'
        touch /sys/x 2>&1; touch /sys/fs/cgroup/x 2>&1; grep ^0: /proc/self/cgroup; echo $HOME; pwd; head -c 2 /dev/zero | wc -c
        df /dev/shm | tail -1 | tr -s ' ' | cut -d' ' -f2,6; ls /run 2>&1
        """)
      spec.linux.namespaces.pid = .pod
      spec.process.cwd = Data("/made/up".utf8)
      let text = try await agent.run("c1", spec).text
      #expect(
        text == """
          pod-1
          pod-1
          nameserver 192.0.2.1
          pause
          80
          0
          4
          1
          touch: /sys/x: Read-only file system
          touch: /sys/fs/cgroup/x: Read-only file system
          0::/
          /root
          /made/up
          2
          65536 /dev/shm
          ls: /run: No such file or directory

          """)
    }
  }

  @Test func theProgramThatIsNotThereIsNamed() async throws {
    try await AgentHost.run { agent in
      var spec = AgentHost.spec("")
      spec.process.args = [Data("no-such-program".utf8)]
      try await agent.create("c1", spec)
      let error = await #expect(throws: RPCError.self) { try await agent.start("c1") }
      #expect(error?.code == .failedPrecondition)
      #expect(error?.message == "exec \"no-such-program\": executable file not found in $PATH")
      let exit = try await agent.wait("c1")
      #expect(exit.code == 128)
      #expect(exit.startError == error?.message)
    }
  }

  @Test func usersAreLookedUpInTheImage() async throws {
    try await AgentHost.run { agent in
      var spec = AgentHost.spec(
        "id -u; id -g; id -G; echo $HOME; echo written > /dev/stdout; grep Cap /proc/self/status")
      spec.process.user.username = Data("app".utf8)
      spec.process.user.imageGroups = true
      spec.process.user.additionalGids = [3000]
      let identity = try await agent.create("c1", spec)
      #expect(identity.uid == 1000)
      #expect(identity.gid == 1001)
      #expect(identity.supplementalGroups == [1001, 3000, 2000])
      try await agent.start("c1")
      _ = try await agent.wait("c1")
      let (out, err) = try await agent.output("c1")
      #expect(err.isEmpty)
      #expect(
        out == """
          1000
          1001
          1001 2000 3000
          /home/app
          written
          CapInh:\t0000000000000000
          CapPrm:\t0000000000000000
          CapEff:\t0000000000000000
          CapBnd:\t0000000000000000
          CapAmb:\t0000000000000000

          """)
      spec.process.user.username = Data("nobody-here".utf8)
      let error = await #expect(throws: RPCError.self) { try await agent.create("c2", spec) }
      #expect(error?.message.contains("no user \"nobody-here\"") == true)
    }
  }

  @Test func capabilitiesSeccompAndNoNewPrivilegesAreAsAsked() async throws {
    try await AgentHost.run { agent in
      var spec = AgentHost.spec(
        "grep -E 'Cap|Seccomp:|NoNewPrivs' /proc/self/status; mkdir /tmp/refused 2>&1; chmod 600 /etc/passwd")
      for keyPath in [
        \Bulkhead_Agent_V1_Capabilities.bounding, \.effective, \.permitted, \.inheritable, \.ambient,
      ] { spec.process.capabilities[keyPath: keyPath] = ["CAP_CHOWN", "CAP_NET_BIND_SERVICE"] }
      spec.process.noNewPrivileges = true
      spec.linux.seccomp.defaultAction = "SCMP_ACT_ALLOW"
      var rule = Bulkhead_Agent_V1_SeccompRule()
      rule.names = ["mkdir", "mkdirat", "mseal"]
      rule.action = "SCMP_ACT_ERRNO"
      rule.errno = 28
      spec.linux.seccomp.syscalls = [rule]
      let (text, exit) = try await agent.run("c1", spec)
      let set = "0000000000000401"
      #expect(
        text == """
          CapInh:\t\(set)
          CapPrm:\t\(set)
          CapEff:\t\(set)
          CapBnd:\t\(set)
          CapAmb:\t\(set)
          NoNewPrivs:\t1
          Seccomp:\t2
          mkdir: can't create directory '/tmp/refused': No space left on device

          """)
      #expect(exit.code == 0)
      spec.linux.seccomp.syscalls[0].action = "SCMP_ACT_MAYBE"
      let error = await #expect(throws: RPCError.self) { try await agent.create("c2", spec) }
      #expect(error?.code == .invalidArgument)
    }
  }

  @Test func mountsStayInsideTheRootWhateverTheImageLinksTo() async throws {
    try await AgentHost.run { agent in
      var spec = AgentHost.spec(
        "cat /outside/file; cat /nowhere/yet; touch /ro/x 2>&1; ls -a /etc/passwd; mount | grep -c /outside")
      var file = Bulkhead_Agent_V1_Mount()
      file.type = "bind"
      file.source = Data("/run/bulkhead/etc/hostname".utf8)
      file.destination = Data("/outside/file".utf8)
      file.options = ["rbind", "ro"]
      var dangling = file
      dangling.destination = Data("/etc/dangling".utf8)
      var tmpfs = Bulkhead_Agent_V1_Mount()
      tmpfs.type = "tmpfs"
      tmpfs.destination = Data("/ro/deep/../".utf8)
      tmpfs.options = ["ro", "size=4k"]
      tmpfs.destination = Data("/ro".utf8)
      spec.mounts = [file, dangling, tmpfs]
      spec.linux.maskedPaths = [Data("/proc/cpuinfo".utf8)]
      let text = try await agent.run("c1", spec).text
      #expect(text == "pod-1\npod-1\ntouch: /ro/x: Read-only file system\n/etc/passwd\n0\n")
    }
  }

  @Test func aReadonlyRootMaskedAndReadonlyPathsHold() async throws {
    try await AgentHost.run { agent in
      var spec = AgentHost.spec(
        "touch /x 2>&1; wc -c < /proc/cpuinfo; ls /home | wc -l; touch /tmp/x 2>&1; echo 1 > /proc/sys/kernel/panic; touch /dev/shm/ok && echo ok"
      )
      spec.root.readonly = true
      spec.linux.maskedPaths = ["/proc/cpuinfo", "/home", "/not/there"].map { Data($0.utf8) }
      spec.linux.readonlyPaths = [Data("/proc/sys".utf8)]
      let text = try await agent.run("c1", spec).text
      #expect(
        text == """
          touch: /x: Read-only file system
          0
          0
          touch: /tmp/x: Read-only file system
          ok
          /bin/sh: can't create /proc/sys/kernel/panic: Read-only file system

          """)
    }
  }

  @Test func deviceNodesOfOthersAreUseless() async throws {
    try await AgentHost.run { agent in
      var spec = AgentHost.spec(
        "mknod /tmp/mem c 1 1 && cat /tmp/mem; mknod /tmp/null c 1 3 && echo x > /tmp/null && echo fine")
      spec.process.capabilities.effective = ["CAP_MKNOD", "CAP_SYS_RAWIO"]
      spec.process.capabilities.permitted = spec.process.capabilities.effective
      spec.process.capabilities.bounding = spec.process.capabilities.effective
      let text = try await agent.run("c1", spec).text
      #expect(text == "fine\ncat: can't open '/tmp/mem': Operation not permitted\n")
    }
  }

  @Test func pidNamespacesAreThePodsTheContainersOwnOrAnothers() async throws {
    try await AgentHost.run { agent in
      var own = AgentHost.spec("echo $$; sleep 100; true")
      own.linux.namespaces.pid = .container
      try await agent.create("own", own)
      try await agent.start("own")
      var other = AgentHost.spec("cat /proc/1/comm")
      other.linux.namespaces.pid = .target
      other.linux.namespaces.pidTarget = "own"
      #expect(try await agent.run("other", other).text == "sh\n")
      other.linux.namespaces.pid = .node
      #expect(try await agent.run("node", other).text.hasPrefix("agent-in-namesp"))
      try await agent.signal("own", 9)
      #expect(try await agent.wait("own").code == 137)
      #expect(try await agent.output("own").out == "1\n")
    }
  }

  @Test func aTerminalIsTheContainersOwn() async throws {
    try await AgentHost.run { agent in
      var spec = AgentHost.spec("read line; tty; echo got $line >&2; [ -c /dev/console ] && echo console")
      spec.process.terminal = true
      spec.stdin = true
      try await agent.create("c1", spec)
      try await agent.start("c1")
      try await agent.writeInput("c1", ["typed\n"])
      #expect(try await agent.wait("c1").code == 0)
      #expect(try await agent.output("c1").out == "typed\r\n/dev/pts/0\r\ngot typed\r\nconsole\r\n")
    }
  }

  @Test func aStopEndsASandboxThatIsBeingMade() async throws {
    try await AgentHost.run(sandbox: false) { agent in
      await Self.expectStop(agent) { try await agent.createSandbox(scratch: "late-scratch") }
      await #expect { try await agent.create("c1", AgentHost.spec("true")) } throws: {
        ($0 as? RPCError)?.message.contains("the pod was stopped") == true
      }
    }
  }

  @Test func aStopEndsAContainerThatIsBeingMade() async throws {
    try await AgentHost.run { agent in
      await Self.expectStop(agent) {
        _ = try await agent.create("c1", AgentHost.spec("true"), image: "late-\(AgentHost.image)")
      }
      await #expect { try await agent.start("c1") } throws: { ($0 as? RPCError)?.code == .notFound }
    }
  }

  /// That a StopSandbox, while `make` waits for a disk, has it fail.
  private static func expectStop(_ agent: AgentHost, while make: @escaping @Sendable () async throws -> Void) async {
    shell("mkfifo \(agent.directory)/late")
    await withTaskGroup(of: RPCError.Code?.self) { attempts in
      for _ in 1...2 {
        attempts.addTask {
          do { try await make() } catch { return (error as? RPCError)?.code }
          return nil
        }
      }
      // One of them is refused, because the other is being worked on.
      #expect(await attempts.next() == .alreadyExists)
      _ = try? await agent.client.stopSandbox(.init(), metadata: agent.metadata)
      shell("echo > \(agent.directory)/late")
      #expect(await attempts.next() == .failedPrecondition)
    }
  }

  @Test func callsThatMakeNoSenseSaySo() async throws {
    try await AgentHost.run { agent in
      func code(_ body: () async throws -> Void) async -> RPCError.Code? {
        do { try await body() } catch { return (error as? RPCError)?.code }
        return nil
      }
      #expect(await code { try await agent.start("unknown") } == .notFound)
      #expect(await code { _ = try await agent.wait("unknown") } == .notFound)
      #expect(await code { try await agent.remove("unknown") } == nil)
      #expect(await code { try await agent.signal("unknown", 15) } == nil)
      #expect(await code { try await agent.create("../escape", AgentHost.spec("")) } == .invalidArgument)
      #expect(await code { try await agent.createSandbox() } == .alreadyExists)
      try await agent.create("c1", AgentHost.spec("true"))
      #expect(await code { try await agent.create("c1", AgentHost.spec("true")) } == .alreadyExists)
      try await agent.start("c1")
      #expect(await code { try await agent.start("c1") } == .failedPrecondition)
      var spec = AgentHost.spec("true")
      spec.linux.resources.unified = ["cgroup.procs": "1"]
      #expect(await code { try await agent.create("c2", spec) } == .invalidArgument)
      spec = AgentHost.spec("true")
      spec.process.args = []
      #expect(await code { try await agent.create("c3", spec) } == .invalidArgument)
    }
  }
}
