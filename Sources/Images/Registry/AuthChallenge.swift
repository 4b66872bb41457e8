/// One challenge of a WWW-Authenticate header (RFC 9110 11.6.1): a scheme and its parameters.
struct AuthChallenge: Hashable, Sendable {
  /// In lower case: "bearer", "basic".
  let scheme: String
  /// Names in lower case.
  let parameters: [String: String]

  /// The challenges of a header's value; what does not parse ends the list, for a registry is not trusted to
  /// write well.
  static func parse(_ header: String) -> [AuthChallenge] {
    var reader = HeaderReader(header.prefix(8192))
    var challenges: [AuthChallenge] = []
    while let scheme = reader.token() {
      var parameters: [String: String] = [:]
      while let (name, value) = reader.parameter() {
        parameters[name.lowercased()] = value
      }
      challenges.append(AuthChallenge(scheme: scheme.lowercased(), parameters: parameters))
      reader.skipSeparators()
    }
    return challenges
  }
}

/// Reads tokens, quoted strings and parameters (RFC 9110 5.6) off the front of a header's value.
private struct HeaderReader {
  private var rest: Substring

  init(_ text: Substring) { rest = text }

  mutating func skipSeparators() {
    rest = rest.drop { $0 == " " || $0 == "\t" || $0 == "," }
  }

  mutating func token() -> String? {
    let token = rest.prefix(while: Self.isTokenCharacter)
    guard !token.isEmpty else { return nil }
    rest = rest[token.endIndex...]
    return String(token)
  }

  /// `name=value`, with the separators before it; nil, and nothing read, where something else stands: the next
  /// challenge's scheme, say.
  mutating func parameter() -> (String, String)? {
    let start = rest
    skipSeparators()
    guard let name = token(), rest.first == "=" else {
      rest = start
      skipSeparators()
      return nil
    }
    rest = rest.dropFirst()
    guard let value = rest.first == "\"" ? quotedString() : token() else {
      rest = ""
      return nil
    }
    return (name, value)
  }

  private mutating func quotedString() -> String? {
    rest = rest.dropFirst()
    var value = ""
    while let character = rest.popFirst() {
      if character == "\"" { return value }
      if character == "\\" {
        guard let escaped = rest.popFirst() else { return nil }
        value.append(escaped)
      } else {
        value.append(character)
      }
    }
    return nil
  }

  private static func isTokenCharacter(_ character: Character) -> Bool {
    guard character.isASCII else { return false }
    return character.isLetter || character.isNumber || "!#$%&'*+-.^_`|~".contains(character)
  }
}
