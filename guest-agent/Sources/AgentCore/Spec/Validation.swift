import FoundationEssentials
import GRPCCore

/// INVALID_ARGUMENT, with a message that names the field.
func invalid(_ message: String) -> RPCError { RPCError(code: .invalidArgument, message: message) }

enum Validated {
  /// A container's id, fit to be a file's name.
  static func containerID(_ text: String) throws -> String {
    guard isName(text, limit: 128) else { throw invalid("\"\(text.prefix(64))\" is not a container id") }
    return text
  }

  /// A disk's serial, fit to be a file's name.
  static func serial(_ text: String, _ field: String) throws -> String {
    guard isName(text, limit: 64) else { throw invalid("\(field): \"\(text.prefix(64))\" is not a disk's serial") }
    return text
  }

  /// Bytes that go to the kernel as a C string.
  static func bytes(_ data: Data, _ field: String) throws -> [UInt8] {
    let bytes = [UInt8](data)
    guard !bytes.contains(0) else { throw invalid("\(field) contains a NUL byte") }
    return bytes
  }

  /// An absolute path.
  static func path(_ data: Data, _ field: String) throws -> [UInt8] {
    let path = try bytes(data, field)
    guard path.first == UInt8(ascii: "/"), path.count < 4096 else { throw invalid("\(field) is not an absolute path") }
    return path
  }

  static func text(_ text: String, _ field: String) throws -> [UInt8] {
    guard !text.utf8.contains(0) else { throw invalid("\(field) contains a NUL byte") }
    return Array(text.utf8)
  }

  private static func isName(_ text: String, limit: Int) -> Bool {
    !text.isEmpty && text.utf8.count <= limit && text.first != "."
      && text.utf8.allSatisfy { isAlphanumeric($0) || [0x2d, 0x2e, 0x5f].contains($0) }
  }
}

func isAlphanumeric(_ byte: UInt8) -> Bool {
  (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
}
