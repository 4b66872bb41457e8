import CGuest
import ContainerInit
import Glibc
import LinuxSystem
import Synchronization

/// Gives the space of what containers deleted back to the host, whose sparse file the scratch disk is: by FITRIM
/// (fstrim(8)) now and then, since a discard at every deletion would be a request to the disk each.
///
/// Nobody counts how much that is. But of what was written since the last time, what the filesystem has not grown
/// by was deleted, or written again.
public final class ScratchSpace: Sendable {
  /// Bytes; less is not worth the walk over the filesystem's bitmaps.
  static let worthwhile: Int64 = 64 << 20
  static let intervalSeconds: UInt32 = 60

  /// Of a filesystem and the disk below it, in bytes.
  struct Account {
    /// Since the disk is there.
    var written: Int64
    var used: Int64

    func freed(since earlier: Account) -> Int64 { (written &- earlier.written) &- (used &- earlier.used) }
  }

  private let path: String
  private let last: Mutex<Account>

  /// Of the filesystem mounted at `path`. Throws where no disk is below it.
  init(_ path: String) throws {
    self.path = path
    last = Mutex(try Self.account(of: path))
  }

  /// Looks after it once a minute, for as long as the VM lives.
  func watch() throws {
    let thread = try startThread { [self] in
      while true {
        sleep(Self.intervalSeconds)
        giveBack()
      }
    }
    pthread_detach(thread)
  }

  /// Blocks while the disk is told, if it is worthwhile.
  func giveBack() {
    last.withLock { last in
      do {
        let now = try Self.account(of: path)
        guard now.freed(since: last) >= Self.worthwhile else { return }
        // First: what fails is tried again when there is more.
        last = now
        let directory = try Self.open(path)
        try systemCall("FITRIM", subject: path) { guest_trim(directory.number) }
      } catch { log("what containers deleted is not given back: \(error)") }
    }
  }

  private static func open(_ path: String) throws -> Descriptor {
    Descriptor(owning: try systemCall("open", subject: path) { Glibc.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) })
  }

  private static func account(of path: String) throws -> Account {
    let directory = try open(path)
    var status = stat()
    try systemCall("fstat", subject: path) { fstat(directory.number, &status) }
    var filesystem = statvfs()
    try systemCall("fstatvfs", subject: path) { fstatvfs(directory.number, &filesystem) }
    let device = "\(guest_device_major(status.st_dev)):\(guest_device_minor(status.st_dev))"
    // The seventh field counts sectors of 512 bytes (the kernel's Documentation/block/stat.rst).
    let fields = try readFile("/sys/dev/block/\(device)/stat", limit: 4096).split(separator: UInt8(ascii: " "))
    guard fields.count > 6 else { throw SystemError("read", EINVAL, subject: "stat of disk \(device)") }
    let used = UInt64(filesystem.f_blocks &- filesystem.f_bfree) &* UInt64(filesystem.f_frsize)
    return Account(
      written: Int64(truncatingIfNeeded: KernelText.decimal(fields[6]) &* 512), used: Int64(truncatingIfNeeded: used))
  }
}
