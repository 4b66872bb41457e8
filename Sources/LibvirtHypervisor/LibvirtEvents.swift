import CLibvirt
import Common
import Synchronization

#if canImport(Glibc)
  import Glibc
#endif

/// libvirt's event loop, on a thread of its own for as long as the process lives: connections made
/// before it runs would never hear of anything.
enum LibvirtEvents {
  private static let failure: String? = {
    // Errors are returned; libvirt would print them to standard error as well.
    virSetErrorFunc(nil) { _, _ in }
    // As would its log, of which only errors are wanted; whoever set it otherwise is debugging.
    setenv("LIBVIRT_DEBUG", "4", 0)
    guard virEventRegisterDefaultImpl() == 0 else { return "libvirt's event loop cannot be registered" }
    var thread = pthread_t()
    let error = pthread_create(&thread, nil, { _ in while true { virEventRunDefaultImpl() } }, nil)
    guard error == 0 else { return "no thread for libvirt's events: \(String(cString: strerror(error)))" }
    pthread_detach(thread)
    return nil
  }()

  /// Starts it the first time.
  static func run() throws(BulkheadError) {
    if let failure { throw BulkheadError(.resourceExhausted, failure) }
  }
}
