import Common

extension Setting {
  static let vm: [Setting] = [
    .value(
      "vm", "hypervisor", \.vm.hypervisor, .choice(),
      "embed: libvirt runs inside the daemon. system: the node's libvirtd, so that virsh sees the VMs; QEMU is then in "
        + "the node's network namespace and not in the pod's, and bulkheadd must be restarted after libvirtd was."),
    .value(
      "vm", "accelerator", \.vm.accelerator, .choice(),
      "auto takes KVM where a test guest really runs on it, else emulation (tcg), which is many times slower. "
        + "The environment variable BULKHEAD_ACCEL overrides this."),
    .value(
      "vm", "vcpus", \.vm.vcpus, .integer(1...1024), "Virtual CPUs of a pod that asks for no amount of CPU."),
    .value(
      "vm", "memory", \.vm.memory, .size(ByteCount.mebibytes(128)...ByteCount.gibibytes(1024)),
      "Memory of a pod that asks for no amount of memory. The guest's kernel takes its share of it."),
    .optional(
      "vm", "max_vcpus", \.vm.maxVCPUs, .integer(1...1024), example: 8,
      "No pod gets more virtual CPUs than this. Default: the node's CPUs."),
    .optional(
      "vm", "max_memory", \.vm.maxMemory, .size(ByteCount.mebibytes(128)...ByteCount.gibibytes(16384)),
      example: .gibibytes(64), "No pod gets more memory than this. Default: the node's memory."),
    .value(
      "vm", "boot_timeout", \.vm.bootTimeout, .duration(1000...3_600_000),
      "A VM whose agent has not answered by then is given up, and one that is not the pod's as long after that."),
    .value(
      "vm", "scratch_size", \.vm.scratchSize, .size(ByteCount.mebibytes(64)...ByteCount.gibibytes(16384)),
      "The disk that holds all that a pod's containers write. The file is sparse: it takes what is written."),
    .value(
      "vm", "uid_base", \.vm.uidBase, .integer(1000...4_294_000_000),
      "Each VM's processes run as a user id of their own, from uid_base on. The default is in the range that "
        + "systemd's UIDS-GIDS leaves unused; no user of the node may be in it."),
    .value(
      "vm", "uid_count", \.vm.uidCount, .integer(1...1_000_000), "How many ids there are: the most VMs at a time."),
    .value(
      "vm", "console_limit", \.vm.consoleLimit, .size(ByteCount(bytes: 65536)...ByteCount.mebibytes(64)),
      "How much of each VM's console is kept."),
    .value("vm", "emulator", \.vm.emulator, .path(), "QEMU."),
    .optional(
      "vm", "libvirt_root", \.vm.libvirtRoot, .path(), example: "/var/lib/bulkhead/libvirt",
      "The embedded libvirt's own directory. Default: libvirt in state_dir."),
  ]
}
