#if canImport(Glibc)
  import Glibc
#endif
import Synchronization

/// Runs an actor's methods on a thread of its own, where they may block; give it out as the actor's
/// `unownedExecutor`. The thread ends with the executor.
public final class ThreadExecutor: SerialExecutor {
  private let queue = JobQueue()

  /// Throws `SystemError` if no thread can be made.
  public init() throws {
    pthread_detach(try startThread { [queue] in queue.runJobs() })
  }

  deinit { queue.append(nil) }

  public func enqueue(_ job: consuming ExecutorJob) {
    queue.append(JobQueue.Job(job: UnownedJob(job), executor: asUnownedSerialExecutor()))
  }
}

/// Jobs between the threads that enqueue them and the one that runs them.
private final class JobQueue: Sendable {
  /// An actor lives until its jobs have run, and its executor with it.
  struct Job: Sendable {
    var job: UnownedJob
    var executor: UnownedSerialExecutor
  }

  /// Nil is the end.
  private let jobs = Mutex<[Job?]>([])
  private let available = Semaphore()

  func append(_ job: Job?) {
    jobs.withLock { $0.append(job) }
    available.signal()
  }

  func runJobs() {
    while true {
      available.wait()
      guard let next = jobs.withLock({ $0.removeFirst() }) else { return }
      next.job.runSynchronously(on: next.executor)
    }
  }
}

/// A counting semaphore (sem_overview(7)). Unchecked, as posting and waiting from several threads is its purpose.
private final class Semaphore: @unchecked Sendable {
  // Only sem_post and sem_wait touch the memory, which are safe from any thread.
  private let semaphore = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)

  init() { sem_init(semaphore, 0, 0) }

  deinit {
    sem_destroy(semaphore)
    semaphore.deallocate()
  }

  func signal() { sem_post(semaphore) }
  func wait() { while sem_wait(semaphore) != 0 {} }
}
