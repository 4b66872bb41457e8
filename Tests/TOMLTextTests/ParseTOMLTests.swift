import TOMLText
import Testing

struct ParseTOMLTests {
  /// TOMLKit's parser would end the process at each of these.
  @Test(arguments: [
    "[=", "[[=]]", "[ .a]", "[#", "[\u{e9}]", "[\n", "[ \n=", "[[[a]]]", "[[ =]]", "[\t\t\r\n",
    "[\u{301}a]", "[[\n", "[ = ]", "[{a=1}]",
  ])
  func headersThatBeginWithNoKey(text: String) {
    let error = refusal("a = 1\n" + text)
    #expect(error?.line == 2)
    #expect(error?.reason == "after the bracket that begins this line stands no key, string or list")
    #expect(refusal(text)?.line == 1)
    // A byte order mark, which the parser passes over.
    #expect(refusal("\u{feff}" + text)?.reason == error?.reason)
  }

  @Test func placesAreToldAsEditorsShowThem() {
    #expect(refusal("a = 1\n  [ =")?.column == 5)
    let nul = refusal("a = 1\nb\0 = 2")
    #expect(nul?.line == 2 && nul?.column == 2 && nul?.reason == "it has a NUL byte")
    #expect(refusal("[vm]\nmemory = \n")?.line == 2)
  }

  @Test(arguments: [
    "[a]", "[ a ]", "[[a]]", "[\"a b\"]", "['a'.b]", "  [a]\n  b = 1", "\u{feff}[a]", "[-a_1]", "a = [\n  1,\n]",
    "client = [\n  [\"a\", \"b\"],\n  ['c'], [],\n]", "a = [[1], [2]] # [=", "# [=",
  ])
  func whatIsTOMLIsTaken(text: String) throws {
    _ = try parseTOML(text)
  }

  /// None of these ends the process: seeded, of the characters that headers, keys and values are made of.
  @Test func fuzz() {
    var state: UInt64 = 0x5eed
    func random(_ bound: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int(state >> 33) % bound
    }
    let pieces = [
      "[", "[", "]", "=", ".", ",", "#", "\n", "\r\n", "\r", " ", "\t", "\"", "'", "\"\"\"", "'''", "a", "_", "-", "+",
      "1", "0x", "1e", "1979-05-27", "T07:32:00", "Z", "true", "inf", "nan", "{", "}", "\\", "\\u12", "\u{e9}",
      "\u{301}", "\u{feff}", "\u{a0}", "\u{2028}", "\u{1}", "\u{7f}", "a = ", "[a]\n", "[[b]]\n",
    ]
    var taken = 0
    for _ in 0..<20_000 {
      let text = (0..<(1 + random(12))).map { _ in pieces[random(pieces.count)] }.joined()
      if (try? parseTOML(text)) != nil { taken += 1 }
    }
    #expect(taken > 100)
  }

  private func refusal(_ text: String) -> TOMLSyntaxError? {
    do {
      _ = try parseTOML(text)
      return nil
    } catch { return error }
  }
}
