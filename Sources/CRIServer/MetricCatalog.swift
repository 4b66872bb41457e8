import CRI
import Pods

/// One metric by the name that the kubelet's /metrics/cadvisor gives it, and how its values follow from what a
/// pod or container uses.
struct MetricFamily: Sendable {
  struct Value {
    /// Of `labels`.
    var labels: [String] = []
    var number: UInt64
    init(_ number: UInt64, _ labels: String...) {
      self.number = number
      self.labels = labels
    }
  }

  /// What the values are of: a container, or a pod as a whole.
  struct Subject {
    var usage: ResourceUsage
    /// Nil for a pod.
    var container: ContainerStatus?
    var layer: ContainerUsage?
    var pod: PodUsage
  }

  var name: String
  var help: String
  var type: Runtime_V1_MetricType
  /// Beside `baseLabels`.
  var labels: [String] = []
  var values: @Sendable (Subject) -> [Value]

  /// In the order in which the values stand in each metric.
  static let baseLabels = ["container", "id", "image", "name", "namespace", "pod"]

  var descriptor: Runtime_V1_MetricDescriptor {
    .with {
      $0.name = name
      $0.help = help
      $0.labelKeys = Self.baseLabels + labels
    }
  }

  /// One that a container and a pod have, as one number.
  static func usage(
    _ name: String, _ type: Runtime_V1_MetricType, _ help: String,
    _ value: @escaping @Sendable (ResourceUsage) -> UInt64
  ) -> MetricFamily {
    MetricFamily(name: name, help: help, type: type) { [.init(value($0.usage))] }
  }

  /// One of containers only; nil: this one has none.
  static func container(
    _ name: String, _ type: Runtime_V1_MetricType, _ help: String,
    _ value: @escaping @Sendable (ContainerStatus, Subject) -> UInt64?
  ) -> MetricFamily {
    MetricFamily(name: name, help: help, type: type) { subject in
      subject.container.flatMap { value($0, subject) }.map { [.init($0)] } ?? []
    }
  }

  static func disk(
    _ name: String, _ help: String, _ value: @escaping @Sendable (DiskUsage) -> UInt64
  ) -> MetricFamily {
    MetricFamily(name: name, help: help, type: .counter, labels: ["device"]) { subject in
      subject.usage.disks.map { .init(value($0), $0.device) }
    }
  }

  /// One of pods only: a pod's containers share its interfaces.
  static func network(
    _ name: String, _ help: String, _ value: @escaping @Sendable (InterfaceUsage) -> UInt64
  ) -> MetricFamily {
    MetricFamily(name: name, help: help, type: .counter, labels: ["interface"]) { subject in
      guard subject.container == nil else { return [] }
      return subject.pod.interfaces.map { .init(value($0), $0.name) }
    }
  }
}

/// The CRI's metrics are whole numbers.
private let second: UInt64 = 1_000_000_000

extension MetricFamily {
  static let all: [MetricFamily] = cpu + memory + filesystem + networks + processes + pressure + specification

  private static let cpu: [MetricFamily] = [
    MetricFamily(
      name: "container_cpu_usage_seconds_total", help: "CPU time used, in seconds.", type: .counter, labels: ["cpu"]
    ) { [.init($0.usage.cpuNanoseconds / second, "total")] },
    .usage("container_cpu_user_seconds_total", .counter, "CPU time used by programs, in seconds.") {
      $0.cpuUserNanoseconds / second
    },
    .usage("container_cpu_system_seconds_total", .counter, "CPU time used by the kernel, in seconds.") {
      $0.cpuSystemNanoseconds / second
    },
    .usage("container_cpu_cfs_periods_total", .counter, "Periods in which the CPU quota was in force.") {
      $0.cpuPeriods
    },
    .usage("container_cpu_cfs_throttled_periods_total", .counter, "Periods in which the CPU quota was used up.") {
      $0.cpuThrottledPeriods
    },
    .usage("container_cpu_cfs_throttled_seconds_total", .counter, "Time spent waiting for CPU quota, in seconds.") {
      $0.cpuThrottledNanoseconds / second
    },
  ]

  private static let memory: [MetricFamily] = [
    .usage("container_memory_usage_bytes", .gauge, "Memory in use, caches too.") { $0.memory },
    .usage("container_memory_working_set_bytes", .gauge, "Memory in use but for inactive file pages.") {
      $0.workingSet
    },
    .usage("container_memory_rss", .gauge, "Anonymous memory, in bytes.") { $0.anonymous },
    .usage("container_memory_cache", .gauge, "Page cache, in bytes.") { $0.file },
    .usage("container_memory_mapped_file", .gauge, "Mapped files, in bytes.") { $0.mappedFile },
    .usage("container_memory_kernel_usage", .gauge, "Memory of the kernel's, in bytes.") { $0.kernelMemory },
    .usage("container_memory_swap", .gauge, "Swap space in use, in bytes.") { $0.swap },
    .usage("container_memory_max_usage_bytes", .gauge, "The most memory there was in use.") { $0.memoryPeak },
    .usage("container_memory_failcnt", .counter, "How often the memory limit was reached.") { $0.memoryLimitHits },
    .usage("container_memory_total_active_file_bytes", .gauge, "Active file pages, in bytes.") { $0.activeFile },
    .usage("container_memory_total_inactive_file_bytes", .gauge, "Inactive file pages, in bytes.") { $0.inactiveFile },
    .usage("container_oom_events_total", .counter, "Processes killed for want of memory.") { $0.oomKills },
    MetricFamily(
      name: "container_memory_failures_total", help: "Page faults.", type: .counter, labels: ["failure_type", "scope"]
    ) { subject in
      ["container", "hierarchy"].flatMap { scope in
        [
          .init(subject.usage.pageFaults, "pgfault", scope), .init(subject.usage.majorPageFaults, "pgmajfault", scope),
        ]
      }
    },
  ]

  private static let filesystem: [MetricFamily] = [
    .container("container_fs_usage_bytes", .gauge, "What the container wrote, in bytes.") { $1.layer?.writableBytes },
    .container("container_fs_limit_bytes", .gauge, "Size of the disk that the container writes to.") {
      $1.pod.scratch.size
    },
    .container("container_fs_inodes_total", .gauge, "Inodes of the disk that the container writes to.") {
      $1.pod.scratch.inodes
    },
    .container("container_fs_inodes_free", .gauge, "Free inodes of the disk that the container writes to.") {
      $1.pod.scratch.freeInodes
    },
    .disk("container_fs_reads_total", "Reads from disks.") { $0.reads },
    .disk("container_fs_writes_total", "Writes to disks.") { $0.writes },
    .disk("container_fs_reads_bytes_total", "Bytes read from disks.") { $0.readBytes },
    .disk("container_fs_writes_bytes_total", "Bytes written to disks.") { $0.writtenBytes },
    MetricFamily(
      name: "container_blkio_device_usage_total", help: "Bytes moved from and to disks.", type: .counter,
      labels: ["device", "major", "minor", "operation"]
    ) { subject in
      subject.usage.disks.flatMap { disk in
        [("Read", disk.readBytes), ("Write", disk.writtenBytes)].map {
          .init($0.1, disk.device, "\(disk.major)", "\(disk.minor)", $0.0)
        }
      }
    },
  ]

  private static let networks: [MetricFamily] = [
    .network("container_network_receive_bytes_total", "Bytes received.") { $0.receivedBytes },
    .network("container_network_receive_packets_total", "Packets received.") { $0.receivedPackets },
    .network("container_network_receive_errors_total", "Errors while receiving.") { $0.receiveErrors },
    .network("container_network_receive_packets_dropped_total", "Packets dropped while receiving.") { $0.receiveDrops },
    .network("container_network_transmit_bytes_total", "Bytes sent.") { $0.sentBytes },
    .network("container_network_transmit_packets_total", "Packets sent.") { $0.sentPackets },
    .network("container_network_transmit_errors_total", "Errors while sending.") { $0.sendErrors },
    .network("container_network_transmit_packets_dropped_total", "Packets dropped while sending.") { $0.sendDrops },
  ]

  private static let processes: [MetricFamily] = [
    .usage("container_processes", .gauge, "Processes.") { $0.processes },
    .usage("container_threads", .gauge, "Threads.") { $0.threads },
    .usage("container_threads_max", .gauge, "The most threads there may be; 0: any number.") { $0.threadsLimit ?? 0 },
    .container("container_file_descriptors", .gauge, "Open file descriptors.") {
      $1.layer?.processes?.fileDescriptors
    },
    .container("container_sockets", .gauge, "Open sockets.") { $1.layer?.processes?.sockets },
    MetricFamily(
      name: "container_ulimits_soft", help: "Soft limits of the container's first process; the largest number: none.",
      type: .gauge, labels: ["ulimit"]
    ) { subject in
      subject.layer?.processes.map { [.init($0.openFilesLimit ?? .max, "max_open_files")] } ?? []
    },
    MetricFamily(
      name: "container_tasks_state", help: "Processes by state.", type: .gauge, labels: ["state"]
    ) { subject in
      guard let processes = subject.layer?.processes else { return [] }
      return [
        .init(processes.running, "running"), .init(processes.sleeping, "sleeping"),
        .init(processes.stopped, "stopped"), .init(processes.uninterruptible, "uninterruptible"),
      ]
    },
  ]

  private static let pressure: [MetricFamily] = [
    .usage("container_pressure_cpu_waiting_seconds_total", .counter, "Time in which some task waited for CPU.") {
      $0.cpuPressure.some.nanoseconds / second
    },
    .usage("container_pressure_cpu_stalled_seconds_total", .counter, "Time in which all tasks waited for CPU.") {
      $0.cpuPressure.full.nanoseconds / second
    },
    .usage("container_pressure_memory_waiting_seconds_total", .counter, "Time in which some task waited for memory.") {
      $0.memoryPressure.some.nanoseconds / second
    },
    .usage("container_pressure_memory_stalled_seconds_total", .counter, "Time in which all tasks waited for memory.") {
      $0.memoryPressure.full.nanoseconds / second
    },
    .usage("container_pressure_io_waiting_seconds_total", .counter, "Time in which some task waited for disks.") {
      $0.ioPressure.some.nanoseconds / second
    },
    .usage("container_pressure_io_stalled_seconds_total", .counter, "Time in which all tasks waited for disks.") {
      $0.ioPressure.full.nanoseconds / second
    },
  ]

  private static let specification: [MetricFamily] = [
    .container("container_spec_cpu_shares", .gauge, "CPU shares.") { container, _ in
      UInt64(max(container.configuration.resources.cpuShares, 0))
    },
    .container("container_spec_cpu_quota", .gauge, "CPU quota, in microseconds.") { container, _ in
      let quota = container.configuration.resources.cpuQuotaMicroseconds
      return quota > 0 ? UInt64(quota) : nil
    },
    .container("container_spec_cpu_period", .gauge, "Period of the CPU quota, in microseconds.") { container, _ in
      let period = container.configuration.resources.cpuPeriodMicroseconds
      return period > 0 ? UInt64(period) : 100_000
    },
    .container("container_spec_memory_limit_bytes", .gauge, "Memory limit; 0: none.") { container, _ in
      UInt64(max(container.configuration.resources.memoryLimitBytes, 0))
    },
    .container("container_spec_memory_swap_limit_bytes", .gauge, "Limit of memory and swap; 0: none.") { container, _ in
      UInt64(max(container.configuration.resources.memorySwapLimitBytes, 0))
    },
    .container("container_start_time_seconds", .gauge, "When it was started, in seconds since 1970.") { container, _ in
      guard case .running(let start, _) = container.state else { return nil }
      return UInt64(max(start, 0)) / second
    },
    MetricFamily(name: "container_last_seen", help: "When this was read, in seconds since 1970.", type: .gauge) {
      [.init(UInt64(max($0.pod.time, 0)) / second)]
    },
  ]
}
