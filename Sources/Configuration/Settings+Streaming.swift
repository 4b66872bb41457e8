extension Setting {
  static let streaming: [Setting] = [
    .value(
      "streaming", "address", \.streaming.address, .loopback(),
      "Where exec, attach and port-forward are served, at URLs that work once: a loopback address. The kubelet "
        + "passes its clients on to it."),
    .value("streaming", "port", \.streaming.port, .integer(0...65535), "0: a free one, chosen at each start."),
    .value(
      "streaming", "idle_timeout", \.streaming.idleTimeout, .duration(1000...604_800_000),
      "A session in which nothing is sent either way for this long is ended."),
  ]
}

extension ValueForm where Value == String {
  /// 127.0.0.0/8 or ::1, as numbers.
  static func loopback() -> ValueForm {
    let path = ValueForm.path()
    return ValueForm(
      read: { (node) throws(BadValue) in
        guard let text = node.string, text == "::1" || isLoopbackV4(text) else {
          throw BadValue("expected a loopback address, such as \"127.0.0.1\" or \"::1\"")
        }
        return text
      }, write: path.write)
  }
}

private func isLoopbackV4(_ text: String) -> Bool {
  let parts = text.split(separator: ".", omittingEmptySubsequences: false)
  return parts.count == 4 && parts.allSatisfy { UInt8($0) != nil } && parts[0] == "127"
}
