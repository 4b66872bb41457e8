import Common
import Foundation
import Testing

@testable import LibvirtHypervisor

#if canImport(FoundationXML)
  import FoundationXML
#endif

@Suite struct XMLTagTests {
  /// What a parser reads is what was put in, whatever it was.
  @Test(arguments: [
    "plain", "a<b>&amp;'\"c", "]]>", "tab\tline\nreturn\rend", "žluťoučký 🐎", " spaces  ", "--", "<?xml?>", "&#10;",
  ])
  func survivesAParser(_ value: String) throws {
    let xml = try XMLTag("a", ["x": value], [XMLTag("b", text: value)]).rendered()
    let reader = Reader()
    let parser = XMLParser(data: Data(xml.utf8))
    parser.delegate = reader
    #expect(parser.parse())
    #expect(reader.attribute == value)
    #expect(reader.text == value)
  }

  @Test(arguments: ["a\u{0}b", "\u{1b}[2J", "\u{7f}", "\u{fffe}"])
  func refusesWhatXMLCannotSay(_ value: String) {
    #expect(throws: BulkheadError.self) { try XMLTag("a", ["x": value]).rendered() }
    #expect(throws: BulkheadError.self) { try XMLTag("a", text: value).rendered() }
  }
}

private final class Reader: NSObject, XMLParserDelegate {
  var attribute: String?
  var text = ""

  func parser(
    _ parser: XMLParser, didStartElement name: String, namespaceURI: String?, qualifiedName: String?,
    attributes: [String: String]
  ) {
    if name == "a" { attribute = attributes["x"] }
  }

  func parser(_ parser: XMLParser, foundCharacters string: String) { text += string }
}
