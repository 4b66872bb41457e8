import Common

/// What the store knows at one moment: the images with their configurations, who uses them, and which layers a
/// pull is about to use. A value: decisions are made on it at once, the files and the database follow.
struct CatalogState: Sendable {
  struct Entry: Sendable {
    var image: ImageDatabase.Image
    let config: ImageConfig
    /// Everything of it on disk, shared layers included.
    let size: ByteCount
  }

  private(set) var images: [Digest: Entry] = [:]
  private(set) var layers: [Digest: ImageDatabase.Layer] = [:]
  private var imagesByName: [String: Digest] = [:]
  /// Who runs containers of an image; only for images that are here.
  private var users: [Digest: Set<String>] = [:]
  /// How many pulls count on a layer that no image of theirs holds yet.
  private var leases: [Digest: Int] = [:]
  /// Layers of pulls that broke off: no image has had them yet, and the next attempt will want them.
  private var unclaimed: Set<Digest> = []

  // MARK: Reading

  /// The images that have a name: one without is on its way out, or was pulled over by a newer one of its name.
  var records: [ImageRecord] {
    images.values.filter { !$0.image.names.isEmpty }.map(Self.record).sorted { $0.id < $1.id }
  }

  func record(_ id: Digest) -> ImageRecord? { images[id].map(Self.record) }

  func image(named text: String) -> Digest? { imagesByName[text] }

  /// Images whose repository and manifest are these, whatever they are called.
  func image(repository: String, manifest: Digest) -> Digest? {
    images.values.first { $0.image.names.contains { $0.repository == repository && $0.manifest == manifest } }?.image.id
  }

  func images(withPrefix hex: String) -> [Digest] {
    images.values.filter { $0.image.id.hex.hasPrefix(hex) && !$0.image.names.isEmpty }.map(\.image.id)
  }

  private static func record(_ entry: Entry) -> ImageRecord {
    let names = entry.image.names
    let repoDigests = Set(names.compactMap { name in name.manifest.map { "\(name.repository)@\($0)" } })
    return ImageRecord(
      id: entry.image.id, tags: names.map(\.text).filter { !$0.contains("@") }.sorted(),
      repoDigests: repoDigests.sorted(), size: entry.size, storedAt: entry.image.storedAt, config: entry.config,
      layers: entry.image.layers, isPinned: entry.image.isPinned)
  }

  // MARK: Changing

  mutating func add(_ layer: ImageDatabase.Layer) {
    layers[layer.blob] = layer
    unclaimed.insert(layer.blob)
  }

  /// Gives up on those layers for which no other pull waits.
  mutating func abandon(_ blobs: Set<Digest>) {
    unclaimed.subtract(blobs.filter { leases[$0] == nil })
  }

  mutating func add(_ entry: Entry) {
    images[entry.image.id] = entry
    unclaimed.subtract(entry.image.layers)
    for name in entry.image.names { imagesByName[name.text] = entry.image.id }
  }

  /// Gives `name` to the image `id`. An image that had it so far keeps being known by its digest, as long as
  /// nobody removes it: containers may run from it.
  mutating func name(_ id: Digest, _ name: ImageDatabase.Name) -> [ImageDatabase.Name] {
    var kept: [ImageDatabase.Name] = []
    if let before = imagesByName[name.text], before != id,
      let old = images[before]?.image.names
        .first(where: { $0.text == name.text })
    {
      unname([name.text])
      if let manifest = old.manifest {
        let byDigest = ImageDatabase.Name(
          text: "\(old.repository)@\(manifest)", repository: old.repository, manifest: manifest)
        add(byDigest, to: before)
        kept.append(byDigest)
      }
    }
    add(name, to: id)
    return kept
  }

  private mutating func add(_ name: ImageDatabase.Name, to id: Digest) {
    guard images[id] != nil else { return }
    images[id]?.image.names.removeAll { $0.text == name.text }
    images[id]?.image.names.append(name)
    imagesByName[name.text] = id
  }

  mutating func unname(_ texts: [String]) {
    for text in texts {
      guard let id = imagesByName.removeValue(forKey: text) else { continue }
      images[id]?.image.names.removeAll { $0.text == text }
    }
  }

  mutating func pin(_ id: Digest, _ isPinned: Bool) { images[id]?.image.isPinned = isPinned }

  /// False if there is no such image.
  mutating func addUser(_ user: String, of id: Digest) -> Bool {
    guard images[id] != nil else { return false }
    users[id, default: []].insert(user)
    return true
  }

  mutating func removeUser(_ user: String, of id: Digest) {
    users[id]?.remove(user)
    if users[id]?.isEmpty == true { users[id] = nil }
  }

  mutating func removeUser(_ user: String) {
    for id in users.keys { removeUser(user, of: id) }
  }

  mutating func lease(_ blobs: Set<Digest>) {
    for blob in blobs { leases[blob, default: 0] += 1 }
  }

  mutating func endLease(_ blobs: Set<Digest>) {
    for blob in blobs {
      leases[blob, default: 1] -= 1
      if leases[blob] == 0 { leases[blob] = nil }
    }
  }

  /// Takes out, and returns, the images that have neither name nor user, and the layers that neither an image nor
  /// a pull needs. What a pull left that broke off before `deadline` (nanoseconds since 1970) is not needed either.
  mutating func takeUnneeded(brokenBefore deadline: Int64) -> (images: [Digest], layers: [Digest]) {
    let unneeded = images.values.filter { $0.image.names.isEmpty && users[$0.image.id] == nil }.map(\.image.id)
    for id in unneeded { images[id] = nil }
    let needed = Set(images.values.flatMap(\.image.layers)).union(leases.keys)
    let unneededLayers = layers.values.filter { layer in
      !needed.contains(layer.blob) && !(unclaimed.contains(layer.blob) && layer.storedAt >= deadline)
    }.map(\.blob)
    for blob in unneededLayers {
      layers[blob] = nil
      unclaimed.remove(blob)
    }
    return (unneeded, unneededLayers)
  }
}
