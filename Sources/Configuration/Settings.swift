import Common

extension Setting {
  /// Every key there is, in the order in which it is printed.
  static let all: [Setting] =
    daemon + guest + vm + images + network + container + streaming + debug + libexec

  private static let daemon: [Setting] = [
    .value(
      "daemon", "state_dir", \.daemon.stateDirectory, .path(),
      "Where images, pods' records and their scratch disks are kept. One daemon a directory."),
    .value(
      "daemon", "run_dir", \.daemon.runDirectory, .path(),
      "Where sockets, namespaces and consoles are kept; lost at a reboot, as the pods are."),
    .optional(
      "daemon", "socket", \.daemon.socket, .path(limit: 107), example: "/run/bulkhead/bulkhead.sock",
      "The CRI socket, mode 0600. Default: bulkhead.sock in run_dir. At most 107 bytes (unix(7))."),
    .value(
      "daemon", "log_level", \.daemon.logLevel, .choice(),
      "What is logged: trace, debug, info, notice, warning, error or critical."),
    .value("daemon", "log_format", \.daemon.logFormat, .choice(), "text for people, json for collectors of logs."),
    .value(
      "daemon", "cgroup_driver", \.daemon.cgroupDriver, .choice(),
      "How the kubelet names pods' cgroups, which it asks: cgroupfs, systemd, or auto for systemd where it runs the node."
    ),
  ]

  private static let guest: [Setting] = [
    .value("guest", "kernel", \.guest.kernel, .path(), "The guest's kernel, an uncompressed vmlinux with a PVH entry."),
    .value("guest", "boot_image", \.guest.bootImage, .path(), "The guest's root filesystem, with the agent in it."),
  ]

  private static let network: [Setting] = [
    .value(
      "network", "cni_conf_dir", \.network.cniConfigurationDirectory, .path(),
      "Where CNI's configuration lies: .conflist, .conf and .json files, used in the order of their names and read "
        + "anew for each pod. A file that is not valid is named by Status, and the next one used."),
    .value(
      "network", "cni_bin_dir", \.network.cniBinaryDirectories, .paths(),
      "Where CNI plugins lie, searched in this order."),
    .value(
      "network", "required", \.network.required, .flag(),
      "Whether a pod is refused while there is no CNI configuration. If not, it then has a loopback interface only."),
    .value(
      "network", "max_networks", \.network.maximumNetworks, .integer(1...8),
      "How many of the configured networks a pod is attached to: the first as eth0, the second as eth1, ..."),
    .value(
      "network", "plugin_timeout", \.network.pluginTimeout, .duration(1000...600_000),
      "A CNI plugin that has not ended by then is killed, and the pod's start or stop fails."),
    .value(
      "network", "address_annotations", \.network.addressAnnotations, .flag(),
      "Whether pods may choose their addresses: the annotations network.bulkhead.dev/ips, mac, aliases and "
        + "infiniband-guid are then given to plugins that declare these capabilities."),
  ]

  private static let container: [Setting] = [
    .value(
      "container", "pids_limit", \.container.pidsLimit, .integer(0...4_194_304),
      "How many processes and threads a container may have; 0: as many as its VM can take."),
    .value(
      "container", "log_line_max", \.container.logLineMax, .size(ByteCount(bytes: 256)...ByteCount.mebibytes(1)),
      "A longer line of a container's output is split into parts of this size. The kubelet expects 16KiB."),
    .value(
      "container", "rlimits", \.container.resourceLimits, .resourceLimits(),
      "Resource limits (setrlimit(2)) that containers start with, each \"name=soft:hard\"; a bound may be unlimited."),
    .value(
      "container", "stop_timeout", \.container.stopTimeout, .duration(0...3_600_000),
      "How long a container has to end after its stop signal where nobody said otherwise, as when its pod is removed."
    ),
    .value(
      "container", "bidirectional_mounts", \.container.bidirectionalMounts, .choice(),
      "Mounts made in a VM can't reach the host. refuse: a container that asks for that (mountPropagation "
        + "Bidirectional) is not created. host_to_container: it gets the host's mounts, and the host none of its."),
  ]

  private static let debug: [Setting] = [
    .value(
      "debug", "guest_shell", \.debug.guestShell, .boolean(),
      "Whether `bulkheadctl debug` may run a shell in a pod's VM, outside of its containers: who may use the daemon's "
        + "socket sees and changes everything in the guest then."),
    .optional(
      "debug", "image", \.debug.image, .line(), example: "docker.io/library/busybox:latest",
      "The image on this node that the shell comes from, where none is named; the guest itself has no programs."),
  ]

  private static let libexec: [Setting] = [
    .value(
      "libexec", "vsock", \.libexec.vsock, .path(),
      "Our vsock device, for nodes whose kernel has no /dev/vhost-vsock."),
    .value("libexec", "unpack", \.libexec.unpack, .path(), "Decodes image layers, without privileges."),
    .value("libexec", "virtiofsd", \.libexec.virtiofsd, .path(), "Shares host directories with a VM."),
  ]
}
