import Common

extension PodView {
  /// For people: what is most asked first, then the lists.
  func lines(now: Int64) -> [String] {
    var lines = properties(summary(now: now))
    lines += section("Virtual machine", machineLines)
    lines += section("Disks", vm.map { table($0.disks, Self.diskColumns) } ?? [], if: vm?.disks.isEmpty == false)
    lines += section("Containers", table(containers, Self.containerColumns), if: !containers.isEmpty)
    lines += section("Boot", bootLines, if: !bootPhases.isEmpty)
    return lines
  }

  private func section(_ title: String, _ lines: [String], if present: Bool = true) -> [String] {
    present ? ["", "\(title):"] + lines.map { "  \($0)" } : []
  }

  private func summary(now: Int64) -> [(name: String, value: String)] {
    var pairs: [(name: String, value: String)] = [
      ("Pod", "\(namespace)/\(name)"),
      ("ID", id),
      ("UID", "\(uid), attempt \(attempt)"),
      ("State", reason.isEmpty ? state : "\(state): \(reason)"),
      ("Created", "\(createdAt) (\(age(createdNanoseconds, now: now)) ago)"),
    ]
    if !networkNamespace.isEmpty { pairs.append(("Network namespace", networkNamespace)) }
    return pairs
  }

  // MARK: - Machine

  private var machineLines: [String] {
    guard let vm else { return ["none"] }
    let reached = guest.flatMap { $0.unreachable.isEmpty ? $0 : nil }
    var pairs: [(name: String, value: String)] = [
      ("Accelerator", vm.accelerator),
      ("QEMU", "pid \(vm.qemuPID), user \(vm.uid), \(ByteCount(bytes: vm.qemuResidentBytes)) resident"),
    ]
    if vm.vsockPID != 0 { pairs.append(("vsock device", "pid \(vm.vsockPID)")) }
    pairs += [
      ("CPUs", "\(vm.vcpus)" + (reached.map { ", the guest sees \($0.cpus)" } ?? "")),
      ("Memory", ByteCount(bytes: vm.memoryBytes).description + (reached.map(memoryText) ?? "")),
      ("Console", vm.consolePath),
    ]
    return properties(pairs + guestPairs)
  }

  private func memoryText(_ guest: Guest) -> String {
    let available = ByteCount(bytes: guest.memoryAvailableBytes)
    return ", the guest sees \(ByteCount(bytes: guest.memoryTotalBytes)), \(available) of it available"
  }

  private var guestPairs: [(name: String, value: String)] {
    guard let guest else { return [] }
    guard guest.unreachable.isEmpty else { return [("Guest", "does not answer: \(guest.unreachable)")] }
    let seconds = guest.uptimeMilliseconds / 1000
    return [
      ("Guest", "Linux \(guest.kernelRelease), up \(age(-Int64(clamping: seconds) * 1_000_000_000, now: 0))"),
      ("Agent", "\(guest.agentVersion), \(ByteCount(bytes: guest.agentResidentBytes)) resident"),
    ]
  }

  // MARK: - Lists

  private static let diskColumns = [
    Column<Disk>("SERIAL") { $0.serial },
    Column("SIZE", alignRight: true) { ByteCount(bytes: $0.sizeBytes).description },
    Column("FILES", alignRight: true) { "\($0.files)" },
    Column("ACCESS") { $0.readonly ? "read-only" : "writable" },
  ]

  private static let containerColumns = [
    Column<Container>("CONTAINER ID") { shortID($0.id) },
    Column("NAME") { $0.name },
    Column("STATE") { $0.state == "exited" ? "exited (\($0.exitCode))" : $0.state },
    Column("PID", alignRight: true) { $0.pid == 0 ? "-" : "\($0.pid)" },
    Column("IMAGE") { $0.image.hasPrefix("sha256:") ? shortID($0.image) : $0.image },
  ]

  private static let barWidth: UInt64 = 40

  /// A line a phase: when it began, how long it took, and both as a bar, since phases overlap.
  private var bootLines: [String] {
    let end =
      bootPhases.map { $0.startMicroseconds.addingReportingOverflow($0.durationMicroseconds) }
      .map { $0.overflow ? UInt64.max : $0.partialValue }.max() ?? 0
    let unit = max(1, end / Self.barWidth)
    let columns = [
      Column<Phase>("PHASE") { $0.name },
      Column("START", alignRight: true) { milliseconds($0.startMicroseconds) },
      Column("TIME", alignRight: true) { milliseconds($0.durationMicroseconds) },
      Column("") { phase in
        let before = min(phase.startMicroseconds / unit, Self.barWidth)
        let length = max(1, min(phase.durationMicroseconds / unit, Self.barWidth - before))
        return String(repeating: " ", count: Int(before)) + String(repeating: "█", count: Int(length))
      },
    ]
    return table(bootPhases.sorted { $0.startMicroseconds < $1.startMicroseconds }, columns)
  }
}
