import Common

extension ImageStore {
  /// Pins the images that have one of the configured names, and unpins the others: what the configuration says now
  /// holds, whenever an image came. Called as the store is taken up and after each pull and import.
  public func applyPins() async throws {
    let names = Set(try configuration.pinned.map { try ImageReference($0).description })
    for record in images() {
      let isPinned = record.tags.contains(where: names.contains)
      if isPinned != record.isPinned { try await setPinned(isPinned, record.id) }
    }
  }
}
