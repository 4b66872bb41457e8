import Common
import TOMLKit
import TOMLText

extension Configuration {
  /// Reads a file's text. `file` is what messages call it.
  ///
  /// Throws `invalidArgument` with a line "file:line: key: reason" for everything that is wrong: an
  /// unknown key, a value of another type or out of range.
  public static func parse(_ text: String, file: String) throws(BulkheadError) -> Configuration {
    let root: TOMLTable
    do { root = try parseTOML(text) } catch {
      throw BulkheadError(
        .invalidArgument,
        "\(file):\(error.line): not TOML (line \(error.line), column \(error.column)): \(error.reason)")
    }
    // Nodes borrow the root's memory.
    return try withExtendedLifetime(root) { () throws(BulkheadError) in
      try Reader(file: file, lines: KeyLines(text)).read(root)
    }
  }
}

/// Goes through a parsed file and gathers what is wrong with it.
private struct Reader {
  let file: String
  let lines: KeyLines
  var problems: [(line: Int, message: String)] = []
  var configuration = Configuration()

  init(file: String, lines: KeyLines) {
    self.file = file
    self.lines = lines
  }

  consuming func read(_ root: TOMLTable) throws(BulkheadError) -> Configuration {
    let sections = Set(Setting.all.map(\.section))
    for name in root.keys.sorted() {
      guard sections.contains(name) else {
        let kind = root[name]?.table == nil ? "no such key; keys stand in sections" : "no such section"
        refuse(name, kind + suggestion(for: name, among: sections))
        continue
      }
      guard let table = root[name]?.table else {
        refuse(name, "expected a section: [\(name)]")
        continue
      }
      readSection(name, table)
    }
    if problems.isEmpty { checkTogether() }
    guard problems.isEmpty else {
      problems.sort { $0.line < $1.line }
      throw BulkheadError(.invalidArgument, problems.map(\.message).joined(separator: "\n"))
    }
    return configuration
  }

  private mutating func readSection(_ section: String, _ table: TOMLTable) {
    let settings = Setting.all.filter { $0.section == section }
    for name in table.keys.sorted() {
      let key = "\(section).\(name)"
      guard let setting = settings.first(where: { $0.name == name }), let node = table[name] else {
        refuse(key, "no such key" + suggestion(for: name, among: settings.map(\.name)))
        continue
      }
      do {
        try setting.read(node, &configuration)
      } catch {
        refuse(key, error.reason)
      }
    }
  }

  /// What no key can know alone.
  private mutating func checkTogether() {
    let vm = configuration.vm
    if let limit = vm.maxVCPUs, limit < vm.vcpus { refuse("vm.max_vcpus", "less than vm.vcpus (\(vm.vcpus))") }
    if let limit = vm.maxMemory, limit < vm.memory { refuse("vm.max_memory", "less than vm.memory (\(vm.memory))") }
    // The last id, 2^32 - 1, means "nobody at all" to chown(2).
    if vm.uidBase.addingReportingOverflow(vm.uidCount).overflow {
      refuse("vm.uid_count", "uid_base and uid_count reach past the last user id")
    }
    if configuration.socket.utf8.count > 107 {
      refuse(
        "daemon.run_dir", "\(configuration.socket) is longer than the 107 bytes of a socket's path: set daemon.socket")
    }
    if configuration.daemon.stateDirectory == configuration.daemon.runDirectory {
      refuse("daemon.run_dir", "is also state_dir; what it holds must not outlive a reboot")
    }
  }

  private mutating func refuse(_ key: String, _ reason: String) {
    let line = lines.line(of: key)
    let place = line.map { "\(file):\($0)" } ?? file
    problems.append((line ?? 0, "\(place): \(printable(key)): \(reason)"))
  }
}
