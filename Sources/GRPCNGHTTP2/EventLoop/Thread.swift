import CLinux
import Glibc
import LinuxSystem

/// A detached thread with a small stack.
enum Thread {
  private static let stackSize = 512 << 10

  static func start(name: String, _ body: @escaping @Sendable () -> Void) throws(SystemError) {
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    defer { pthread_attr_destroy(&attributes) }
    pthread_attr_setstacksize(&attributes, stackSize)
    pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
    let start = Start(name: name, body: body)
    var thread = pthread_t()
    let failure = pthread_create(
      &thread, &attributes,
      { argument in
        guard let argument else { return nil }
        let start = Unmanaged<Start>.fromOpaque(argument).takeRetainedValue()
        _ = bh_set_thread_name(start.name)
        start.body()
        return nil
      }, Unmanaged.passRetained(start).toOpaque())
    if failure != 0 {
      Unmanaged.passUnretained(start).release()
      throw SystemError("pthread_create", failure)
    }
  }

  private final class Start: Sendable {
    let name: String
    let body: @Sendable () -> Void

    init(name: String, body: @escaping @Sendable () -> Void) {
      self.name = name
      self.body = body
    }
  }
}
