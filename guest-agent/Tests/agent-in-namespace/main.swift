// The agent as the tests run it: first process of a PID namespace instead of a VM, on a unix socket instead of
// vsock, with directories instead of disks. All else is as in the guest.
//
//   agent-in-namespace SOCKET SECRET IMAGES SCRATCH
//
// Streams that are no calls come in at SOCKET.streams.
import AgentCore
import ContainerInit
import Glibc
import LinuxSystem

/// An image is the directory of its serial's name; the scratch disk is one directory.
struct DirectoryDisks: DiskSource {
  let images: String
  let scratch: String

  func mountImage(serial: String, on path: String) throws { try bind("\(images)/\(try plugged(serial))", on: path) }
  func mountScratch(serial: String, on path: String) throws {
    _ = try plugged(serial)
    try bind(scratch, on: path)
  }
  /// The disk below is this machine's own.
  func scratchSpace(of path: String) -> ScratchSpace? { nil }
  /// The share is the directory beside the images.
  func mountShare(tag: String, on path: String) throws { try bind("\(images)/../\(tag)", on: path) }
  func device(serial: String) throws -> String { "/dev/\(serial)" }

  /// The disk "late-X" is X, plugged when somebody writes to the FIFO "late" beside the images: to open it waits.
  private func plugged(_ serial: String) throws -> String {
    guard serial.hasPrefix("late-") else { return serial }
    _ = Descriptor(owning: try systemCall("open") { open("\(images)/../late", O_RDONLY) })
    return String(serial.dropFirst(5))
  }

  private func bind(_ source: String, on path: String) throws {
    try systemCall("mount", subject: source) { mount(source, path, nil, UInt(MS_BIND), nil) }
  }
}

if CommandLine.arguments.dropFirst().first == zygoteArgument { runZygote(control: 3) }
guard CommandLine.arguments.count == 5 else { exit(64) }
var configuration = AgentConfiguration()
configuration.listener = .unix(path: CommandLine.arguments[1])
configuration.streams = .unix(path: CommandLine.arguments[1] + ".streams")
configuration.secret = Array(CommandLine.arguments[2].utf8)
configuration.disks = DirectoryDisks(images: CommandLine.arguments[3], scratch: CommandLine.arguments[4])
runAgent(configuration)
