import Common

/// What a client means by a text that names an image.
enum ImageLookup: Sendable {
  case id(Digest)
  case name(ImageReference)
  /// A name by the grammar and perhaps the beginning of an id as well: "beef".
  case nameOrPrefix(ImageReference?, hex: String)
  case nothing

  enum Match: Sendable {
    case none
    /// The image, and the names of it that are meant.
    case one(ImageRecord, names: [String])
    case several
  }

  init(_ text: String) {
    let hex = text.hasPrefix("sha256:") ? String(text.dropFirst(7)) : text
    let isHex = !hex.isEmpty && hex.utf8.count <= 64 && hex.utf8.allSatisfy(Self.isHexDigit)
    if let id = Digest(hex: hex) {
      self = .id(id)
    } else if isHex {
      self = .nameOrPrefix(hex == text ? try? ImageReference(text) : nil, hex: hex)
    } else if let reference = try? ImageReference(text) {
      self = .name(reference)
    } else {
      self = .nothing
    }
  }

  func match(in state: CatalogState) -> Match {
    switch self {
    case .nothing: return .none
    case .id(let id): return byID([id], state)
    case .name(let reference): return byName(reference, state)
    case .nameOrPrefix(let reference, let hex):
      if let reference, case .one(let record, let names) = byName(reference, state) {
        return .one(record, names: names)
      }
      return byID(state.images(withPrefix: hex), state)
    }
  }

  private func byID(_ ids: [Digest], _ state: CatalogState) -> Match {
    guard ids.count <= 1 else { return .several }
    guard let entry = ids.first.flatMap({ state.images[$0] }), !entry.image.names.isEmpty,
      let record = state.record(entry.image.id)
    else { return .none }
    return .one(record, names: entry.image.names.map(\.text))
  }

  private func byName(_ reference: ImageReference, _ state: CatalogState) -> Match {
    if let digest = reference.digest {
      let id = state.image(repository: reference.repository, manifest: digest)
      guard let id, let entry = state.images[id], let record = state.record(id) else { return .none }
      let names = entry.image.names.filter { $0.repository == reference.repository && $0.manifest == digest }
      return .one(record, names: names.map(\.text))
    }
    guard let id = state.image(named: reference.description), let record = state.record(id) else { return .none }
    return .one(record, names: [reference.description])
  }

  private static func isHexDigit(_ byte: UInt8) -> Bool {
    (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte)
  }
}
