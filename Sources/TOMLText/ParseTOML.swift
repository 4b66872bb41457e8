import Common
import TOMLKit

/// Why a text is no TOML, and where; lines and columns count from 1.
public struct TOMLSyntaxError: Error, Hashable {
  public let line: Int
  public let column: Int
  public let reason: String
}

/// Parses the text of a file. TOMLKit alone takes C strings, so that a NUL byte would end the text unseen, and its
/// parser ends the process, in release builds too, at a table header that begins with no key.
public func parseTOML(_ text: String) throws(TOMLSyntaxError) -> TOMLTable {
  for (number, line) in text.utf8.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).enumerated() {
    if let nul = line.firstIndex(of: 0) {
      throw TOMLSyntaxError(
        line: number + 1, column: line.distance(from: line.startIndex, to: nul) + 1, reason: "it has a NUL byte")
    }
    if let column = columnOfBadHeader(number == 0 ? withoutByteOrderMark(line) : line) {
      throw TOMLSyntaxError(
        line: number + 1, column: column,
        reason: "after the bracket that begins this line stands no key, string or list")
    }
  }
  do { return try TOMLTable(string: text) } catch let error as TOMLParseError {
    throw TOMLSyntaxError(
      line: error.source.begin.line, column: error.source.begin.column, reason: printable(error.description))
  } catch {
    throw TOMLSyntaxError(line: 1, column: 1, reason: printable("\(error)"))
  }
}

/// Where on a line that begins with a bracket, or two, something else follows than a key or what may stand in a list.
/// Brackets alone on a line are refused too, as the parser takes them for a header: a list may be begun on the line
/// before.
private func columnOfBadHeader(_ line: Substring.UTF8View) -> Int? {
  func isBlank(_ byte: UInt8) -> Bool { byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") }
  var rest = line.drop(while: isBlank)
  guard rest.popFirst() == UInt8(ascii: "[") else { return nil }
  if rest.first == UInt8(ascii: "[") { rest.removeFirst() }
  rest = rest.drop(while: isBlank)
  let isKnown = rest.first.map { byte in
    let letter = Unicode.Scalar(byte | 0x20)
    return ("a"..."z").contains(letter) || ("0"..."9").contains(Unicode.Scalar(byte)) || "_-\"']".utf8.contains(byte)
  }
  return isKnown == true ? nil : line.distance(from: line.startIndex, to: rest.startIndex) + 1
}

/// The parser passes it over.
private func withoutByteOrderMark(_ line: Substring.UTF8View) -> Substring.UTF8View {
  line.starts(with: [0xef, 0xbb, 0xbf]) ? line.dropFirst(3) : line
}
