import CArchive
import Glibc
import LayerFormat

/// The layer's tar, read by libarchive: ustar, pax and GNU, sparse files included.
///
/// The process stays in the C locale, in which libarchive cannot convert a name that is not ASCII: it
/// then says so and hands out the very bytes. In a UTF-8 locale it would silently compose them
/// (Unicode NFC), and the image's files would have other names.
final class TarArchive {
  private let archive: OpaquePointer
  private let stream: LayerStream
  /// Why the stream ended early: libarchive itself carries no Swift error.
  private var streamFailure: (any Error)?

  init(stream: LayerStream) throws {
    guard let archive = archive_read_new() else { throw LayerFormatError("no memory to read tar with") }
    self.archive = archive
    self.stream = stream
    guard archive_read_support_format_tar(archive) == ARCHIVE_OK,
      archive_read_support_format_empty(archive) == ARCHIVE_OK
    else { throw failure() }
  }

  deinit { archive_read_free(archive) }

  /// Reads the first bytes, which tell whether it is a tar.
  func open() throws {
    let result = archive_read_open(
      archive, Unmanaged.passUnretained(self).toOpaque(), nil,
      { _, context, bytes in
        guard let context, let bytes else { return -1 }
        return Unmanaged<TarArchive>.fromOpaque(context).takeUnretainedValue().readStream(bytes)
      }, nil)
    guard result == ARCHIVE_OK else { throw failure() }
  }

  /// The next entry, valid until the next call; nil at the end.
  func next() throws -> TarEntry? {
    var entry: OpaquePointer?
    let result = archive_read_next_header(archive, &entry)
    if result == ARCHIVE_EOF, streamFailure == nil { return nil }
    guard result == ARCHIVE_OK || result == ARCHIVE_WARN && onlyNamesWereKept, streamFailure == nil, let entry else {
      throw failure()
    }
    return TarEntry(entry: entry)
  }

  /// Hands `body` the entry's contents in order, each piece with its offset in the file.
  func readContents(_ body: (UnsafeRawBufferPointer, Int64) throws -> Void) throws {
    while true {
      var bytes: UnsafeRawPointer?
      var count = 0
      var offset: Int64 = 0
      let result = archive_read_data_block(archive, &bytes, &count, &offset)
      if result == ARCHIVE_EOF, streamFailure == nil { return }
      guard result == ARCHIVE_OK, streamFailure == nil else { throw failure() }
      try body(UnsafeRawBufferPointer(start: bytes, count: count), offset)
    }
  }

  private func readStream(_ bytes: UnsafeMutablePointer<UnsafeRawPointer?>) -> Int {
    do {
      let next = try stream.next()
      bytes.pointee = next.baseAddress
      return next.count
    } catch {
      streamFailure = error
      return -1
    }
  }

  /// The warning about a name that is no ASCII, see above, and no other.
  private var onlyNamesWereKept: Bool {
    guard let message = archive_error_string(archive) else { return false }
    return String(cString: message).contains("can't be converted from")
  }

  private func failure() -> any Error {
    if let streamFailure { return streamFailure }
    guard let message = archive_error_string(archive) else { return LayerFormatError("the layer is no valid tar") }
    return LayerFormatError("the layer is no valid tar: \(String(cString: message))")
  }
}
