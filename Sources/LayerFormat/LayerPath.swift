import Common

/// A path below the root of an image: components without "", ".", "..", "/" and NUL, none longer
/// than Linux takes. The root itself has no components. Bytes, not text: names may be of any encoding.
public struct LayerPath: Hashable, Sendable {
  /// The components with one "/" between them.
  public let bytes: [UInt8]

  public static let root = LayerPath(unchecked: [])

  /// Reads a name as tar has it: "./a//b/" and "/a/b" are both a/b, since the image's root is all
  /// that a leading slash can mean. A component ".." is refused rather than resolved.
  public init(normalizing name: some Collection<UInt8>) throws(LayerFormatError) {
    var out: [UInt8] = []
    out.reserveCapacity(name.count)
    for component in name.split(separator: UInt8(ascii: "/")) {
      if component.elementsEqual(".".utf8) { continue }
      if component.elementsEqual("..".utf8) {
        throw LayerFormatError("\(quoted(name)) climbs with \"..\"")
      }
      if component.contains(0) { throw LayerFormatError("\(quoted(name)) contains a NUL byte") }
      if component.count > FormatLimits.name {
        throw LayerFormatError("\(quoted(name)) has a component longer than \(FormatLimits.name) bytes")
      }
      if !out.isEmpty { out.append(UInt8(ascii: "/")) }
      out.append(contentsOf: component)
    }
    if out.count > FormatLimits.path {
      throw LayerFormatError("\(quoted(name)) is longer than \(FormatLimits.path) bytes")
    }
    self.init(unchecked: out)
  }

  /// Nil unless `bytes` is such a path to the letter.
  public init?(canonical bytes: [UInt8]) {
    guard let path = try? LayerPath(normalizing: bytes), path.bytes == bytes else { return nil }
    self = path
  }

  private init(unchecked bytes: [UInt8]) { self.bytes = bytes }

  public var isRoot: Bool { bytes.isEmpty }
  public var components: [ArraySlice<UInt8>] { bytes.split(separator: UInt8(ascii: "/")) }

  /// The last component and the path of the directory that it is in; nil for the root.
  public var parted: (parent: LayerPath, name: ArraySlice<UInt8>)? {
    guard !isRoot else { return nil }
    guard let slash = bytes.lastIndex(of: UInt8(ascii: "/")) else { return (.root, bytes[...]) }
    return (LayerPath(unchecked: Array(bytes[..<slash])), bytes[(slash + 1)...])
  }

  /// The path of `name`, a single component, in this directory.
  public func appending(_ name: some Collection<UInt8>) throws(LayerFormatError) -> LayerPath {
    try LayerPath(normalizing: bytes + [UInt8(ascii: "/")] + name)
  }
}

extension LayerPath: CustomStringConvertible {
  /// As it is shown: with a leading slash, control characters escaped.
  public var description: String { printable("/" + String(decoding: bytes, as: UTF8.self)) }
}

/// `name` as an error shows it.
public func quoted(_ name: some Collection<UInt8>) -> String {
  "\"" + printable(String(decoding: name.prefix(300), as: UTF8.self), limit: 200) + "\""
}

/// What is wrong with a layer, as a sentence for the person who pulls it.
public struct LayerFormatError: Error, Equatable, CustomStringConvertible {
  public let description: String
  public init(_ description: String) { self.description = description }
}
