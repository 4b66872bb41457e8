import Glibc
import LinuxSystem

func writeAll(_ bytes: [UInt8], to descriptor: Int32) throws {
  try bytes.withUnsafeBytes { bytes in
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = try systemCall("write") {
        write(descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
      }
      rest = rest.dropFirst(count)
    }
  }
}
