import Common
import Hypervisor

/// libvirt's view of a machine (https://libvirt.org/formatdomain.html).
extension Domain {
  func xml() throws(BulkheadError) -> String { try element.rendered() }

  var element: XMLElement {
    XMLElement(
      "domain",
      [
        "type": accelerator == .kvm ? "kvm" : "qemu", "xmlns:qemu": "http://libvirt.org/schemas/domain/qemu/1.0",
      ],
      [
        XMLElement("name", text: id.text),
        XMLElement("title", text: title),
        XMLElement("memory", ["unit": "b"], text: "\(memory.bytes)"),
        XMLElement("vcpu", text: "\(vcpus)"),
        // vhost-user devices and virtiofsd map the guest's memory.
        XMLElement(
          "memoryBacking", [XMLElement("source", ["type": "memfd"]), XMLElement("access", ["mode": "shared"])]),
        XMLElement(
          "sysinfo", ["type": "fwcfg"],
          [XMLElement("entry", ["name": "opt/bulkhead/secret", "file": secretPath])]),
        boot,
        XMLElement("features", [XMLElement("acpi")]),
        cpu,
        XMLElement("clock", ["offset": "utc"]),
        XMLElement("on_poweroff", text: "destroy"),
        XMLElement("on_reboot", text: "destroy"),
        XMLElement("on_crash", text: "destroy"),
        devices,
        // Files of ours are given to the machine by us, and shared ones must stay root's: libvirt is
        // to run QEMU as this user and to chown nothing.
        XMLElement(
          "seclabel", ["type": "static", "model": "dac", "relabel": "no"],
          [XMLElement("label", text: "+\(uid):+\(gid)")]),
        commandLine,
        // Without it libvirt reads some 400 properties of the CPU at each start: 0.4 s.
        XMLElement(
          "qemu:capabilities", [XMLElement("qemu:del", ["capability": "cpu-unavailable-features"])]),
      ])
  }

  private var boot: XMLElement {
    var children = [XMLElement("type", ["arch": platform.architecture, "machine": platform.machine], text: "hvm")]
    if let firmware = platform.firmware {
      children.append(XMLElement("loader", ["type": "rom"], text: firmware))
    }
    children.append(XMLElement("kernel", text: kernel))
    children.append(XMLElement("cmdline", text: platform.commandLine(accelerator)))
    return XMLElement("os", children)
  }

  private var cpu: XMLElement {
    switch accelerator {
    case .kvm: XMLElement("cpu", ["mode": "host-passthrough", "migratable": "off"])
    case .tcg: XMLElement("cpu", ["mode": "maximum"])
    }
  }

  private var devices: XMLElement {
    var children = [
      XMLElement("emulator", text: emulator),
      XMLElement("controller", ["type": "usb", "model": "none"]),
      XMLElement("controller", ["type": "scsi", "index": "0", "model": "virtio-scsi"], [Self.pci(.scsi)]),
      XMLElement(
        "controller", ["type": "pci", "index": "1", "model": "pcie-root-port"], [Self.pci(.hotplugPort)]),
      bootDisk,
    ]
    children += disks.map(\.element)
    children += interfaces.enumerated().map { Self.interface($1, slot: PCISlot.firstInterface.rawValue + $0) }
    children.append(
      // Appended to, so that the daemon can cut the file while QEMU has it open.
      XMLElement(
        "serial", ["type": "file"],
        [
          XMLElement("source", ["path": consolePath, "append": "on"]),
          XMLElement("target", ["port": "0"]),
        ]))
    children.append(
      XMLElement("memballoon", ["model": "virtio", "freePageReporting": "on"], [Self.pci(.balloon)]))
    children.append(
      XMLElement(
        "rng", ["model": "virtio"],
        [XMLElement("backend", ["model": "random"], text: "/dev/urandom"), Self.pci(.random)]))
    children.append(XMLElement("panic", ["model": "isa"]))
    if case .kernel(let cid) = vsock {
      children.append(
        XMLElement(
          "vsock", ["model": "virtio"],
          [XMLElement("cid", ["auto": "no", "address": "\(cid)"]), Self.pci(.vsock)]))
    }
    return XMLElement("devices", children)
  }

  private var bootDisk: XMLElement {
    XMLElement(
      "disk", ["type": "file", "device": "disk"],
      [
        XMLElement("driver", ["name": "qemu", "type": "raw", "io": "threads"]),
        XMLElement("source", ["file": bootImage]),
        XMLElement("target", ["dev": "vda", "bus": "virtio"]),
        XMLElement("serial", text: "boot"),
        XMLElement("readonly"),
        Self.pci(.bootDisk),
      ])
  }

  /// The tap exists already in the namespace that QEMU is started in.
  private static func interface(_ interface: MachineInterface, slot: Int) -> XMLElement {
    XMLElement(
      "interface", ["type": "ethernet"],
      [
        XMLElement("mac", ["address": interface.macAddress]),
        XMLElement("target", ["dev": interface.tap, "managed": "no"]),
        XMLElement("model", ["type": "virtio"]),
        XMLElement("rom", ["enabled": "no"]),
        pci(slot),
      ])
  }

  /// libvirt has no vhost-user-vsock of its own.
  private var commandLine: XMLElement {
    guard case .device(let socketPath) = vsock else { return XMLElement("qemu:commandline") }
    // A comma ends an option's value unless doubled (qemu(1)).
    let path = socketPath.split(separator: ",", omittingEmptySubsequences: false).joined(separator: ",,")
    let arguments = [
      "-chardev", "socket,id=bulkhead-vsock,path=\(path)",
      "-device", "vhost-user-vsock-pci,chardev=bulkhead-vsock,bus=pcie.0,addr=\(PCISlot.vsock.rawValue)",
    ]
    return XMLElement("qemu:commandline", arguments.map { XMLElement("qemu:arg", ["value": $0]) })
  }

  private static func pci(_ slot: PCISlot) -> XMLElement { pci(slot.rawValue) }

  private static func pci(_ slot: Int) -> XMLElement {
    XMLElement("address", ["type": "pci", "domain": "0", "bus": "0", "slot": "\(slot)", "function": "0"])
  }
}

extension DomainDisk {
  /// As a device of a new machine, and as what is plugged into a running one.
  var element: XMLElement {
    var children = [
      // A writable disk never outlives its pod, so nothing waits for the host's disk.
      XMLElement(
        "driver",
        readonly
          ? ["name": "qemu", "type": format.rawValue, "io": "threads"]
          : [
            "name": "qemu", "type": format.rawValue, "cache": "unsafe", "io": "threads", "discard": "unmap",
            "detect_zeroes": "unmap",
          ]),
      XMLElement("source", ["file": path]),
      XMLElement("target", ["dev": targetName, "bus": "scsi"]),
      XMLElement("serial", text: serial),
    ]
    if readonly { children.append(XMLElement("readonly")) }
    children.append(
      XMLElement(
        "address", ["type": "drive", "controller": "0", "bus": "0", "target": "0", "unit": "\(unit)"]))
    return XMLElement("disk", ["type": "file", "device": "disk"], children)
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
  var element: XMLElement {
    XMLElement(
      "filesystem", ["type": "mount", "accessmode": "passthrough"],
      [
        XMLElement("driver", ["type": "virtiofs", "queue": "1024"]),
        XMLElement("binary", ["path": virtiofsd, "xattr": "on"]),
        XMLElement("source", ["dir": directory]),
        XMLElement("target", ["dir": tag]),
        XMLElement("address", ["type": "pci", "domain": "0", "bus": "1", "slot": "0", "function": "0"]),
      ])
  }
}
