import CRI
import Common
import Pods

private let maximumMounts = 1024

/// CreateContainer's mounts, checked in form. What the paths lead to is looked at when they are mounted.
func volumeMounts(_ mounts: [Runtime_V1_Mount]) throws(BulkheadError) -> [VolumeMount] {
  guard mounts.count <= maximumMounts else {
    throw Validation.invalid("config.mounts", "are more than \(maximumMounts)")
  }
  var result: [VolumeMount] = []
  for mount in mounts { result.append(try volumeMount(mount)) }
  return result
}

private func volumeMount(_ mount: Runtime_V1_Mount) throws(BulkheadError) -> VolumeMount {
  let destination = try mountDestination(mount.containerPath)
  guard mount.uidMappings.isEmpty, mount.gidMappings.isEmpty else {
    throw BulkheadError(
      .unimplemented, "mount \(printable(destination)): user namespaces are not supported: set hostUsers: true")
  }
  let options = try mountOptions(mount)
  if !mount.image.image.isEmpty { return try imageVolume(mount, destination, options) }
  let field = "config.mounts: host_path of \(printable(destination, limit: 128))"
  guard !mount.hostPath.isEmpty else { throw Validation.invalid(field, "is missing") }
  let path = try Validation.absolutePath(mount.hostPath, field)
  let propagation = try propagation(mount)
  var readonly = VolumeMount.ReadOnly.no
  if mount.recursiveReadOnly {
    guard mount.readonly, propagation == .private else {
      throw Validation.invalid(
        "recursive_read_only of \(printable(destination, limit: 128))", "needs readonly and private propagation")
    }
    readonly = .recursive
  } else if mount.readonly {
    readonly = .top
  }
  return VolumeMount(
    destination: destination, source: .host(path: path, propagation), readonly: readonly, options: options)
}

private func imageVolume(
  _ mount: Runtime_V1_Mount, _ destination: String, _ options: [String]
) throws(BulkheadError) -> VolumeMount {
  guard mount.hostPath.isEmpty else {
    throw Validation.invalid("mount \(printable(destination, limit: 128))", "has both a host_path and an image")
  }
  let reference = try Validation.name(mount.image.image, "config.mounts.image", limit: 1024)
  let subPath = try Validation.relativePath(mount.imageSubPath, "config.mounts.image_sub_path")
  return VolumeMount(
    destination: destination, source: .image(reference: reference, subPath: subPath), readonly: .recursive,
    options: options)
}

/// Absolute, without a trailing slash, and not a place that must stay as it is.
private func mountDestination(_ path: String) throws(BulkheadError) -> String {
  let field = "config.mounts.container_path"
  guard !path.isEmpty else { throw Validation.invalid(field, "is missing") }
  let checked = try Validation.absolutePath(path, field)
  let parts = checked.split(separator: "/").filter { $0 != "." }
  guard let first = parts.first else { throw Validation.invalid(field, "is /, which is the image's") }
  if first == "proc" {
    throw Validation.invalid(field, "is in /proc, where nothing can be mounted: \(printable(checked, limit: 128))")
  }
  return "/" + parts.joined(separator: "/")
}

private func propagation(_ mount: Runtime_V1_Mount) throws(BulkheadError) -> VolumeMount.Propagation {
  switch mount.propagation {
  case .propagationPrivate: return .private
  case .propagationHostToContainer: return .hostToContainer
  case .propagationBidirectional: return .bidirectional
  case .UNRECOGNIZED(let value): throw Validation.invalid("config.mounts.propagation", "is unknown: \(value)")
  }
}

private func mountOptions(_ mount: Runtime_V1_Mount) throws(BulkheadError) -> [String] {
  let known: Set<String> = [
    "ro", "nosuid", "suid", "nodev", "dev", "noexec", "exec", "noatime", "relatime", "strictatime", "nodiratime",
  ]
  for option in mount.mountOptions where !known.contains(option) {
    throw Validation.invalid("config.mounts.mount_options", "has an unknown option: \(printable(option, limit: 64))")
  }
  return mount.mountOptions
}

/// CreateContainer's devices. What they are is looked at when they are plugged in.
func hostDevices(_ config: Runtime_V1_ContainerConfig) throws(BulkheadError) -> [HostDevice] {
  if let device = config.cdiDevices.first {
    throw BulkheadError(
      .unimplemented,
      "CDI device \(printable(device.name, limit: 128)): a virtual machine has none of the host's devices but block devices; use a runtime class that shares the node's kernel"
    )
  }
  guard config.devices.count <= 64 else { throw Validation.invalid("config.devices", "are more than 64") }
  var result: [HostDevice] = []
  for device in config.devices {
    guard !device.hostPath.isEmpty else { throw Validation.invalid("config.devices.host_path", "is missing") }
    let path = try Validation.absolutePath(device.hostPath, "config.devices.host_path")
    let place = device.containerPath.isEmpty ? path : device.containerPath
    let destination = try Validation.absolutePath(place, "config.devices.container_path")
    guard destination.split(separator: "/").first != "proc", destination != "/" else {
      throw Validation.invalid("config.devices.container_path", "can't be a device: \(printable(destination))")
    }
    result.append(
      HostDevice(hostPath: path, destination: destination, permissions: try permissions(device.permissions)))
  }
  return result
}

private func permissions(_ letters: String) throws(BulkheadError) -> HostDevice.Permissions {
  if letters.isEmpty { return [.read, .write, .makeNode] }
  var result: HostDevice.Permissions = []
  for letter in letters {
    switch letter {
    case "r": result.insert(.read)
    case "w": result.insert(.write)
    case "m": result.insert(.makeNode)
    default:
      throw Validation.invalid("config.devices.permissions", "are of r, w and m: \(printable(letters, limit: 32))")
    }
  }
  return result
}

extension Runtime_V1_Mount {
  init(_ mount: VolumeMount) {
    self.init()
    containerPath = mount.destination
    readonly = mount.readonly != .no
    mountOptions = mount.options
    switch mount.source {
    case .host(let path, let propagation):
      hostPath = path
      recursiveReadOnly = mount.readonly == .recursive
      switch propagation {
      case .private: self.propagation = .propagationPrivate
      case .hostToContainer: self.propagation = .propagationHostToContainer
      case .bidirectional: self.propagation = .propagationBidirectional
      }
    case .image(let reference, let subPath):
      image.image = reference
      imageSubPath = subPath
    }
  }
}
