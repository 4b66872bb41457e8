import Common
import Hypervisor

/// libvirt's view of a machine (https://libvirt.org/formatdomain.html).
extension Domain {
  func xml() throws(BulkheadError) -> String { try element.rendered() }

  var element: XMLTag {
    XMLTag(
      "domain",
      [
        "type": accelerator == .kvm ? "kvm" : "qemu", "xmlns:qemu": "http://libvirt.org/schemas/domain/qemu/1.0",
      ],
      [
        XMLTag("name", text: id.text),
        XMLTag("title", text: title),
        XMLTag("memory", ["unit": "b"], text: "\(memory.bytes)"),
        XMLTag("vcpu", text: "\(vcpus)"),
        // vhost-user devices and virtiofsd map the guest's memory.
        XMLTag(
          "memoryBacking", [XMLTag("source", ["type": "memfd"]), XMLTag("access", ["mode": "shared"])]),
        XMLTag(
          "sysinfo", ["type": "fwcfg"],
          [XMLTag("entry", ["name": "opt/bulkhead/secret", "file": secretPath])]),
        boot,
        XMLTag("features", [XMLTag("acpi")]),
        cpu,
        XMLTag("clock", ["offset": "utc"]),
        XMLTag("on_poweroff", text: "destroy"),
        XMLTag("on_reboot", text: "destroy"),
        XMLTag("on_crash", text: "destroy"),
        devices,
        // Files of ours are given to the machine by us, and shared ones must stay root's: libvirt is
        // to run QEMU as this user and to chown nothing.
        XMLTag(
          "seclabel", ["type": "static", "model": "dac", "relabel": "no"],
          [XMLTag("label", text: "+\(uid):+\(gid)")]),
        commandLine,
        // Without it libvirt reads some 400 properties of the CPU at each start: 0.4 s.
        XMLTag(
          "qemu:capabilities", [XMLTag("qemu:del", ["capability": "cpu-unavailable-features"])]),
      ])
  }

  private var boot: XMLTag {
    var children = [XMLTag("type", ["arch": platform.architecture, "machine": platform.machine], text: "hvm")]
    if let firmware = platform.firmware {
      children.append(XMLTag("loader", ["type": "rom"], text: firmware))
    }
    children.append(XMLTag("kernel", text: kernel))
    children.append(XMLTag("cmdline", text: platform.commandLine(accelerator)))
    return XMLTag("os", children)
  }

  private var cpu: XMLTag {
    switch accelerator {
    case .kvm: XMLTag("cpu", ["mode": "host-passthrough", "migratable": "off"])
    // With ERMS kernel and C library copy by "rep movsb", which TCG carries out byte by byte.
    case .tcg: XMLTag("cpu", ["mode": "maximum"], [XMLTag("feature", ["policy": "disable", "name": "erms"])])
    }
  }

  private var devices: XMLTag {
    var children = [
      XMLTag("emulator", text: emulator),
      XMLTag("controller", ["type": "usb", "model": "none"]),
      XMLTag("controller", ["type": "scsi", "index": "0", "model": "virtio-scsi"], [Self.pci(.scsi)]),
      XMLTag(
        "controller", ["type": "pci", "index": "1", "model": "pcie-root-port"], [Self.pci(.hotplugPort)]),
      bootDisk,
    ]
    children += disks.map(\.element)
    children += interfaces.enumerated().map { interface($1, slot: PCISlot.firstInterface.rawValue + $0) }
    children.append(
      // Appended to, so that the daemon can cut the file while QEMU has it open.
      XMLTag(
        "serial", ["type": "file"],
        [
          XMLTag("source", ["path": consolePath, "append": "on"]),
          XMLTag("target", ["port": "0"]),
        ]))
    children.append(
      XMLTag("memballoon", ["model": "virtio", "freePageReporting": "on"], [Self.pci(.balloon)]))
    children.append(
      XMLTag(
        "rng", ["model": "virtio"],
        [XMLTag("backend", ["model": "random"], text: "/dev/urandom"), Self.pci(.random)]))
    children.append(XMLTag("panic", ["model": "isa"]))
    if case .kernel(let cid) = vsock {
      children.append(
        XMLTag(
          "vsock", ["model": "virtio"],
          [XMLTag("cid", ["auto": "no", "address": "\(cid)"]), Self.pci(.vsock)]))
    }
    return XMLTag("devices", children)
  }

  private var bootDisk: XMLTag {
    XMLTag(
      "disk", ["type": "file", "device": "disk"],
      [
        XMLTag("driver", ["name": "qemu", "type": "raw", "io": "threads"]),
        XMLTag("source", ["file": bootImage]),
        XMLTag("target", ["dev": "vda", "bus": "virtio"]),
        XMLTag("serial", text: "boot"),
        XMLTag("readonly"),
        Self.pci(.bootDisk),
      ])
  }

  /// The tap exists already in the namespace that QEMU is started in, with a queue for each processor.
  private func interface(_ interface: MachineInterface, slot: Int) -> XMLTag {
    var children = [
      XMLTag("mac", ["address": interface.macAddress]),
      XMLTag("target", ["dev": interface.tap, "managed": "no"]),
      XMLTag("model", ["type": "virtio"]),
    ]
    if vcpus > 1 { children.append(XMLTag("driver", ["queues": "\(min(vcpus, 8))"])) }
    children += [XMLTag("rom", ["enabled": "no"]), Self.pci(slot)]
    return XMLTag("interface", ["type": "ethernet"], children)
  }

  /// What libvirt has no elements for.
  private var commandLine: XMLTag { XMLTag("qemu:commandline", vsockArguments + [environment]) }

  /// QEMU copies each packet that a guest gets. AMD's processors since Zen 3 have a `rep movsb` that is several times slower
  /// than vector instructions unless both sides are aligned alike, which is up to the layout of QEMU's heap, and glibc
  /// before 2.40 takes it for a packet's size (GNU C Library manual, "Hardware Capability Tunables").
  private var environment: XMLTag {
    XMLTag("qemu:env", ["name": "GLIBC_TUNABLES", "value": "glibc.cpu.x86_rep_movsb_threshold=1048576"])
  }

  private var vsockArguments: [XMLTag] {
    guard case .device(let socketPath) = vsock else { return [] }
    // A comma ends an option's value unless doubled (qemu(1)).
    let path = socketPath.split(separator: ",", omittingEmptySubsequences: false).joined(separator: ",,")
    let arguments = [
      "-chardev", "socket,id=bulkhead-vsock,path=\(path)",
      "-device", "vhost-user-vsock-pci,chardev=bulkhead-vsock,bus=pcie.0,addr=\(PCISlot.vsock.rawValue)",
    ]
    return arguments.map { XMLTag("qemu:arg", ["value": $0]) }
  }

  private static func pci(_ slot: PCISlot) -> XMLTag { pci(slot.rawValue) }

  private static func pci(_ slot: Int) -> XMLTag {
    XMLTag("address", ["type": "pci", "domain": "0", "bus": "0", "slot": "\(slot)", "function": "0"])
  }
}

extension DomainDisk {
  /// As a device of a new machine, and as what is plugged into a running one.
  var element: XMLTag {
    var children = [
      XMLTag("driver", driver),
      XMLTag("source", [deviceBlockSize == nil ? "file" : "dev": path]),
      XMLTag("target", ["dev": targetName, "bus": "scsi"]),
      XMLTag("serial", text: serial),
    ]
    if readonly { children.append(XMLTag("readonly")) }
    children.append(
      XMLTag(
        "address", ["type": "drive", "controller": "0", "bus": "0", "target": "0", "unit": "\(unit)"]))
    if let deviceBlockSize { children.append(XMLTag("blockio", ["logical_block_size": "\(deviceBlockSize)"])) }
    return XMLTag("disk", ["type": deviceBlockSize == nil ? "file" : "block", "device": "disk"], children)
  }

  private var driver: KeyValuePairs<String, String> {
    if deviceBlockSize != nil {
      // Past the host's page cache: what the guest has flushed is on the device, and others may look at it.
      return ["name": "qemu", "type": format.rawValue, "cache": "none", "io": "threads", "discard": "unmap"]
    }
    if readonly { return ["name": "qemu", "type": format.rawValue, "io": "threads"] }
    // A writable file never outlives its pod, so nothing waits for the host's disk.
    return [
      "name": "qemu", "type": format.rawValue, "cache": "unsafe", "io": "threads", "discard": "unmap",
      "detect_zeroes": "unmap",
    ]
  }

  /// sda ... sdz, sdaa ...: what libvirt tells disks apart by; the guest names them as it likes.
  var targetName: String {
    var suffix = ""
    var rest = unit
    repeat {
      suffix = String(UnicodeScalar(UInt8(ascii: "a") + UInt8(rest % 26))) + suffix
      rest = rest / 26 - 1
    } while rest >= 0
    return "sd" + suffix
  }
}

extension DomainShare {
  var element: XMLTag {
    XMLTag(
      "filesystem", ["type": "mount", "accessmode": "passthrough"],
      [
        XMLTag("driver", ["type": "virtiofs", "queue": "1024"]),
        XMLTag("source", ["socket": socketPath]),
        XMLTag("target", ["dir": tag]),
        XMLTag("address", ["type": "pci", "domain": "0", "bus": "1", "slot": "0", "function": "0"]),
      ])
  }
}
