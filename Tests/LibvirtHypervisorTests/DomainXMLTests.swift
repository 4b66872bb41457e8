import Common
import Hypervisor
import Testing

@testable import LibvirtHypervisor

@Suite struct DomainXMLTests {
  private func domain(_ change: (inout Domain) -> Void = { _ in }) -> XMLTag {
    var domain = Domain(
      id: .random(), title: "default/web", platform: .x86_64, accelerator: .tcg, emulator: "/usr/bin/qemu", vcpus: 2,
      memory: .mebibytes(256), uid: 300_001, gid: 300_002, kernel: "/k", bootImage: "/boot,image&co", consolePath: "/c",
      secretPath: "/s", vsock: .device(socketPath: "/run/a,b/vhost.sock"),
      disks: [DomainDisk(serial: "scratch", path: "/d", format: .raw, readonly: false, unit: 0)], interfaces: [])
    change(&domain)
    return domain.element
  }

  @Test func runsAsTheMachinesUserAndChownsNothing() throws {
    let label = try #require(domain().all("seclabel").first)
    #expect(domain().all("seclabel").count == 1)
    #expect(label["type"] == "static")
    #expect(label["relabel"] == "no")
    #expect(label.all("label").first?.text == "+300001:+300002")
  }

  @Test func namesEveryDisksFormat() {
    let disks = domain().all("disk")
    #expect(disks.count == 2)
    for disk in disks { #expect(disk.all("driver").first?["type"] == "raw") }
  }

  @Test func theBootImageIsReadOnlyAndTheFirstDisk() throws {
    let boot = try #require(domain().all("disk").first)
    #expect(!boot.all("readonly").isEmpty)
    #expect(boot.all("target").first?["dev"] == "vda")
    #expect(boot.all("source").first?["file"] == "/boot,image&co")
  }

  @Test func theSecretIsInNoCommandLine() throws {
    let entry = try #require(domain().all("sysinfo").first?.all("entry").first)
    #expect(entry["name"] == "opt/bulkhead/secret")
    #expect(entry["file"] == "/s")
  }

  @Test func theVsockDevicesPathIsOneOption() {
    let arguments = domain().all("qemu:arg").compactMap { $0["value"] }
    #expect(arguments.contains("socket,id=bulkhead-vsock,path=/run/a,,b/vhost.sock"))
  }

  @Test func theKernelsVsockNeedsNoCommandLine() throws {
    let kernel = domain { $0.vsock = .kernel(cid: 77) }
    #expect(kernel.all("qemu:arg").isEmpty)
    #expect(kernel.all("cid").first?["address"] == "77")
  }

  @Test func packetsAreNotCopiedByStringInstructions() {
    for vsock in [Domain.Vsock.kernel(cid: 77), .device(socketPath: "/vhost.sock")] {
      let variables = domain { $0.vsock = vsock }.all("qemu:env")
      #expect(variables.map { $0["name"] } == ["GLIBC_TUNABLES"])
      #expect(variables.map { $0["value"] } == ["glibc.cpu.x86_rep_movsb_threshold=1048576"])
    }
  }

  @Test func onlyEmulatedProcessorsLackERMS() throws {
    func features(_ element: XMLTag) -> [String?] {
      element.all("cpu").flatMap { $0.all("feature") }.map { $0["name"] }
    }
    #expect(features(domain()) == ["erms"])
    #expect(features(domain { $0.accelerator = .kvm }).isEmpty)
  }

  @Test func mitigationsStayOnUnderKVM() throws {
    let line = { (element: XMLTag) in element.all("cmdline").first?.text ?? "" }
    #expect(line(domain()).contains("mitigations=off"))
    let kvm = domain { $0.accelerator = .kvm }
    #expect(!line(kvm).contains("mitigations=off"))
    #expect(kvm["type"] == "kvm")
  }

  @Test func aBlockDeviceGoesPastThePageCache() {
    let disk = DomainDisk(
      serial: "d", path: "/dev/sdb", format: .raw, readonly: false, unit: 1, deviceBlockSize: 4096
    ).element
    #expect(disk["type"] == "block")
    #expect(disk.all("source").first?["dev"] == "/dev/sdb")
    #expect(disk.all("driver").first?["cache"] == "none")
    #expect(disk.all("blockio").first?["logical_block_size"] == "4096")
  }

  @Test func devicesShareNoSlot() {
    let slots = domain {
      $0.vsock = .kernel(cid: 9)
      $0.interfaces = [
        MachineInterface(tap: "tap0", macAddress: "02:00:00:00:00:01"),
        MachineInterface(tap: "tap1", macAddress: "02:00:00:00:00:02"),
      ]
    }.all("address").filter { $0["type"] == "pci" }.compactMap { $0["slot"] }
    #expect(slots.count == 8)
    #expect(Set(slots).count == slots.count)
  }

  @Test(arguments: [(0, "sda"), (25, "sdz"), (26, "sdaa"), (701, "sdzz"), (702, "sdaaa")])
  func targetNamesGoOn(unit: Int, name: String) {
    #expect(DomainDisk(serial: "x", path: "/x", format: .raw, readonly: true, unit: unit).targetName == name)
  }

  @Test func aWritableDiskIsNotReadOnlyAndTheOtherWayRound() {
    let disk = { DomainDisk(serial: "x", path: "/x", format: .vmdk, readonly: $0, unit: 3).element }
    #expect(disk(true).all("readonly").count == 1)
    #expect(disk(false).all("readonly").isEmpty)
    #expect(disk(true).all("address").first?["unit"] == "3")
    #expect(disk(true).all("driver").first?["type"] == "vmdk")
  }
}

extension XMLTag {
  /// All elements of this name below this one.
  fileprivate func all(_ name: String) -> [XMLTag] {
    children.flatMap { ($0.name == name ? [$0] : []) + $0.all(name) }
  }

  fileprivate subscript(attribute: String) -> String? { attributes.first { $0.name == attribute }?.value }
}
