extension Configuration {
  /// The default file: each key with what it means, set to its default. Parsing it gives exactly
  /// `Configuration()`.
  public static func documentedDefault() -> String { Configuration().documented() }

  func documented() -> String {
    var lines = wrapped(
      "Bulkhead's configuration. Every key is shown, set to its default; those with # before them depend on others. "
        + "Sizes and durations are strings with a unit: \"256MiB\", \"60s\". Paths are absolute.")
    var section = ""
    for setting in Setting.all {
      if setting.section != section {
        section = setting.section
        lines += ["", "[\(section)]"]
      } else {
        lines.append("")
      }
      lines += wrapped(setting.documentation)
      if let value = setting.write(self) {
        lines.append("\(setting.name) = \(value)")
      } else {
        lines.append("#\(setting.name) = \(setting.example)")
      }
    }
    return lines.joined(separator: "\n") + "\n"
  }
}

/// Comment lines of at most 100 columns.
private func wrapped(_ text: String) -> [String] {
  var lines: [String] = []
  var line = "#"
  for word in text.split(separator: " ") {
    if line.count + 1 + word.count > 100 {
      lines.append(line)
      line = "#"
    }
    line += " \(word)"
  }
  return lines + [line]
}
