/// One HTTP/2 header field; the name is in lower case.
struct HeaderField: Sendable, Equatable {
  var name: String
  var value: String

  init(_ name: String, _ value: String) {
    self.name = name
    self.value = value
  }
}

extension [HeaderField] {
  func first(_ name: String) -> String? {
    for field in self where field.name == name { return field.value }
    return nil
  }
}
