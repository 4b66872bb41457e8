/// `text` made safe to log or to show: control characters, line ends among them, become `\u{..}`
/// escapes, and what is longer than `limit` characters is cut with an ellipsis. For every text that
/// comes from a guest, an image, a registry or a client.
public func printable(_ text: some StringProtocol, limit: Int = 512) -> String {
  var out = ""
  var count = 0
  for scalar in text.unicodeScalars {
    if count == limit { return out + "…" }
    count += 1
    switch scalar.properties.generalCategory {
    case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse, .unassigned:
      out += "\\u{\(String(scalar.value, radix: 16))}"
    default: out.unicodeScalars.append(scalar)
    }
  }
  return out
}
