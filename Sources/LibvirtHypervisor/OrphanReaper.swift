import LinuxSystem
import Synchronization

#if canImport(Glibc)
  import Glibc
#endif

/// Reaps the processes that libvirt starts as daemons, which become children of this process, their
/// subreaper, without its having forked them. libvirt takes a process for running until it is reaped,
/// and would wait for half a minute for each.
///
/// A daemon is in a session that is neither ours nor led by itself, as daemon(7) has it: its first
/// parent made the session, forked it and ended. What a module of ours, or libvirt itself, forks and
/// waits for is in our session or leads its own, and is never touched. The one leader that nobody waits
/// for is what is left of a QEMU that made a daemon of itself (libvirt's probes do).
enum OrphanReaper {
  /// Reaps, on another thread, for as long as `body` runs.
  static func reaping<Result>(_ body: () throws -> Result) throws -> Result {
    let reaping = Reaping()
    let thread = try startThread { reaping.run() }
    defer {
      reaping.isDone.store(true, ordering: .releasing)
      pthread_join(thread, nil)
    }
    return try body()
  }

  private final class Reaping: Sendable {
    let isDone = Atomic(false)

    func run() {
      while !isDone.load(ordering: .acquiring) {
        reapOrphans()
        usleep(2000)
      }
    }
  }

  private static func reapOrphans() {
    var information = siginfo_t()
    let options = Int32(WEXITED | WNOHANG | WNOWAIT)
    // The kernel shows one dead child; only if that is another's are the rest looked for by hand.
    guard waitid(P_ALL, 0, &information, options) == 0, information.si_signo == SIGCHLD else { return }
    for child in children() where isOrphan(child) { waitpid(child, nil, WNOHANG) }
  }

  private static func isOrphan(_ child: Int32) -> Bool {
    let session = getsid(child)
    guard session != -1, session != getsid(0) else { return false }
    return session != child || isQEMU(child)
  }

  private static func isQEMU(_ child: Int32) -> Bool {
    guard let name = try? readFile("/proc/\(child)/comm", limit: 64) else { return false }
    return name.starts(with: "qemu-system".utf8)
  }

  /// All children of this process, of whichever thread (proc(5), /proc/pid/task/tid/children).
  private static func children() -> [Int32] {
    guard let directory = opendir("/proc/self/task") else { return [] }
    defer { closedir(directory) }
    var children: [Int32] = []
    while let entry = readdir(directory) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      guard let bytes = try? readFile("/proc/self/task/\(name)/children", limit: 64 << 10) else { continue }
      children += String(decoding: bytes, as: UTF8.self).split(separator: " ").compactMap { Int32($0) }
    }
    return children
  }
}
