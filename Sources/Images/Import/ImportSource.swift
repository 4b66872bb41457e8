import Common
import Foundation
import LayerFormat
import LinuxSystem

/// A run of bytes of a file of this machine.
struct FileExtent: Hashable, Sendable {
  let path: String
  let offset: UInt64
  let size: UInt64

  /// All of it, for a document of at most `limit` bytes. Blocks.
  func contents(limit: Int, what: String) throws -> Data {
    guard size <= UInt64(limit) else {
      throw BulkheadError(.invalidArgument, "the \(what) has \(size) bytes; at most \(limit) are taken")
    }
    let bytes = try UnverifiedFile(reading: path).read(at: offset, count: Int(size))
    guard UInt64(bytes.count) == size else {
      throw BulkheadError(.dataLoss, "the \(what) became shorter while it was read")
    }
    return Data(bytes)
  }
}

/// The files of an image archive or layout, by their names in it. No name of an archive ever becomes a path of this
/// machine: an archive's contents lie in one blob, a layout's are looked up by digest.
enum ImportSource: Sendable {
  case layout(directory: String)
  case archive([String: ArchiveEntry])

  enum ArchiveEntry: Hashable, Sendable {
    case file(FileExtent)
    /// To another name of the archive.
    case link(String)
  }

  func file(_ name: String) throws -> FileExtent {
    guard let file = find(name) else {
      throw BulkheadError(.invalidArgument, "the archive lacks \(printable(name, limit: 200))")
    }
    return file
  }

  func find(_ name: String) -> FileExtent? {
    switch self {
    case .layout(let directory):
      // Only index.json and the names that `blob` makes get here: `DockerArchive`, which looks up names that the
      // archive chose, is never given a directory.
      let path = "\(directory)/\(name)"
      return StoreFiles.size(path).map { FileExtent(path: path, offset: 0, size: $0) }
    case .archive(let entries):
      var name = name
      // Older archives of Docker's link a layer that they hold already.
      for _ in 0..<8 {
        switch entries[name] {
        case .file(let extent): return extent
        case .link(let target): name = target
        case nil: return nil
        }
      }
      return nil
    }
  }

  func blob(_ digest: Digest) throws -> FileExtent { try file("blobs/sha256/\(digest.hex)") }
}

/// Reads the table of contents of an archive that the unpacker has converted as if it were a layer.
struct ArchiveContents {
  private static let maximumEntries = 100_000

  /// Blocks. `files` are what the unpacker made of the archive.
  static func read(_ files: LayerFiles) throws -> ImportSource {
    let index = try FileHandle(forReadingFrom: URL(fileURLWithPath: files.index))
    defer { try? index.close() }
    var decoder = try IndexDecoder(
      dataSize: StoreFiles.size(files.data) ?? 0, maximumEntries: maximumEntries,
      source: { Array(try index.read(upToCount: 64 << 10) ?? Data()) })
    var entries: [String: ImportSource.ArchiveEntry] = [:]
    while let entry = try decoder.next() {
      guard let name = String(validating: entry.path.bytes, as: UTF8.self) else { continue }
      switch entry.content {
      case .inode(.file(let size, let block), _):
        let offset = UInt64(block) * UInt64(FormatLimits.blockSize)
        entries[name] = .file(FileExtent(path: files.data, offset: offset, size: size))
      case .hardLink(let target):
        entries[name] = String(validating: target.bytes, as: UTF8.self).map { .link($0) }
      case .inode(.symlink(let target), _):
        entries[name] = String(validating: target, as: UTF8.self).flatMap { resolve($0, from: name) }.map { .link($0) }
      default: continue
      }
    }
    return .archive(entries)
  }

  /// The name that a symbolic link at `name` means; nil for one out of the archive.
  private static func resolve(_ target: String, from name: String) -> String? {
    guard !target.hasPrefix("/") else { return nil }
    var components = name.split(separator: "/").dropLast()
    for component in target.split(separator: "/") where component != "." {
      guard component == ".." else {
        components.append(component)
        continue
      }
      guard components.popLast() != nil else { return nil }
    }
    return components.joined(separator: "/")
  }
}
