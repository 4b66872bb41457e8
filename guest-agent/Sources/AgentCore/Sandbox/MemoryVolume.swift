import CGuest
import ContainerInit
import Glibc
import LinuxSystem

/// A tmpfs of the pod's. Blocks.
func makeMemory(_ plan: VolumeSource.MemoryPlan, at path: String) throws {
  try makeDirectories(path)
  var options = "mode=\(String(plan.mode, radix: 8)),uid=\(plan.uid),gid=\(plan.gid)"
  if plan.bytes > 0 { options += ",size=\(plan.bytes)" }
  try mountFilesystem("tmpfs", on: path, flags: 0, data: options)
}

/// Makes what is missing of a path in a volume, with the volume's owner and mode. Containers may have put
/// symbolic links there, which are not followed. Blocks.
func makeSubPath(_ subPath: [UInt8], of volume: String, _ plan: VolumeSource.MemoryPlan) throws {
  var directory = Descriptor(
    owning: try systemCall("open", subject: volume) { open(volume, O_RDONLY | O_DIRECTORY | O_CLOEXEC) })
  for part in subPath.split(separator: UInt8(ascii: "/")) {
    let name = Array(part)
    guard name != Array("..".utf8) else { throw SystemError("open", EINVAL, subject: shown(subPath)) }
    let parent = directory.number
    let made = withPath(name) { mkdirat(parent, $0, 0o700) } == 0
    let next = Descriptor(
      owning: try systemCall("open", subject: shown(name)) {
        withPath(name) { openat(parent, $0, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) }
      })
    if made {
      let number = next.number
      try systemCall("fchown", subject: shown(name)) { fchown(number, plan.uid, plan.gid) }
      try systemCall("fchmod", subject: shown(name)) { fchmod(number, plan.mode) }
    }
    directory = next
  }
}
