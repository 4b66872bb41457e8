#if canImport(Glibc)
  import Glibc
#endif

/// Writes all of `bytes` to a descriptor that blocks, in as few calls as the kernel takes: one, for a file.
public func writeAll(
  _ bytes: UnsafeRawBufferPointer, to descriptor: Int32, subject: @autoclosure () -> String = ""
) throws(SystemError) {
  var rest = bytes
  while !rest.isEmpty {
    let count = try systemCall("write", subject: subject()) { write(descriptor, rest.baseAddress, rest.count) }
    rest = UnsafeRawBufferPointer(rebasing: rest[count...])
  }
}

public func writeAll(
  _ bytes: [UInt8], to descriptor: Int32, subject: @autoclosure () -> String = ""
) throws(SystemError) {
  try bytes.span.bytes.withUnsafeBytes { (bytes) throws(SystemError) in
    try writeAll(bytes, to: descriptor, subject: subject())
  }
}
