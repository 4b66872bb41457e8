import CLinux
import Glibc
import LinuxSystem
import Synchronization

/// What lives on a loop. It is made on the loop's thread, and never leaves it.
protocol LoopCore: AnyObject, SendableMetatype {
  /// Everything that happened in one turn has been handled: the time to write. True if there is more
  /// to write at once, but others should have their turn first.
  func endOfTurn() -> Bool
  /// The loop is over: everything is to be closed. Jobs that were posted before still follow.
  func loopEnded()
}

/// A thread that sleeps in epoll and owns a `Core`. Others reach the core by posting jobs.
final class EventLoop<Core: LoopCore>: Sendable {
  typealias Job = @Sendable (Core) -> Void

  private struct Mailbox: Sendable {
    var jobs: [Job] = []
    /// Only then does a post have to ring: a loop that is awake looks into its mailbox by itself.
    var isAsleep = false
    var isOpen = true
    var onEnd: [CheckedContinuation<Void, Never>] = []
  }

  private let mailbox: Mutex<Mailbox>
  private let bell: Int32

  /// Starts the thread. `make` runs on it before anything else.
  init(name: String, make: @escaping @Sendable (Poller) -> Core) throws(SystemError) {
    mailbox = Mutex(Mailbox())
    bell = try systemCall("eventfd") { eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK)) }
    let epoll = try systemCall("epoll_create1") { epoll_create1(Int32(EPOLL_CLOEXEC)) }
    do throws(SystemError) {
      var event = epoll_event()
      event.events = Poller.Events.read.rawValue
      event.data.fd = bell
      try systemCall("epoll_ctl") { epoll_ctl(epoll, EPOLL_CTL_ADD, bell, &event) }
      try Thread.start(name: name) { self.run(Poller(epoll: epoll), make) }
    } catch {
      close(epoll)
      throw error
    }
  }

  deinit { close(bell) }

  /// Runs `job` on the loop's thread; false if the loop has ended, and the job is dropped.
  @discardableResult
  func post(_ job: @escaping Job) -> Bool {
    mailbox.withLock { mailbox in
      guard mailbox.isOpen else { return false }
      mailbox.jobs.append(job)
      if mailbox.isAsleep {
        mailbox.isAsleep = false
        eventfd_write(bell, 1)
      }
      return true
    }
  }

  /// Waits for the loop's end.
  func ended() async {
    await withCheckedContinuation { continuation in
      let isOpen = mailbox.withLock { mailbox in
        if mailbox.isOpen { mailbox.onEnd.append(continuation) }
        return mailbox.isOpen
      }
      if !isOpen { continuation.resume() }
    }
  }

  private func run(_ poller: Poller, _ make: (Poller) -> Core) {
    poller.handle(bell) { [bell] _ in
      var count: eventfd_t = 0
      eventfd_read(bell, &count)
    }
    let core = make(poller)
    do {
      var isBusy = false
      while !poller.isStopped { isBusy = try turn(poller, core, isBusy) }
    } catch {
      // epoll_wait fails only for reasons that no later call would mend; the streams end below.
    }
    let (jobs, waiting) = mailbox.withLock { mailbox in
      mailbox.isOpen = false
      defer {
        mailbox.jobs = []
        mailbox.onEnd = []
      }
      return (mailbox.jobs, mailbox.onEnd)
    }
    core.loopEnded()
    for job in jobs { job(core) }
    for continuation in waiting { continuation.resume() }
  }

  private func turn(_ poller: Poller, _ core: Core, _ isBusy: Bool) throws(SystemError) -> Bool {
    let mayBlock = mailbox.withLock { mailbox in
      mailbox.isAsleep = mailbox.jobs.isEmpty && !isBusy
      return mailbox.isAsleep
    }
    try poller.turn(block: mayBlock)
    let jobs = mailbox.withLock { mailbox in
      mailbox.isAsleep = false
      defer { mailbox.jobs = [] }
      return mailbox.jobs
    }
    for job in jobs { job(core) }
    return core.endOfTurn()
  }
}
