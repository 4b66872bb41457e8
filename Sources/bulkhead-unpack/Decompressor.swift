import Glibc
import LinuxSystem

/// A source of uncompressed bytes.
protocol Decompressor: AnyObject {
  /// Fills `output` from its start and returns how much; less than all of it only at the end.
  func read(into output: UnsafeMutableRawBufferPointer) throws -> Int
}

/// The compressed bytes as they come from a descriptor.
final class DescriptorInput {
  private let descriptor: Int32
  private let buffer: UnsafeMutableRawBufferPointer
  /// Read and not yet consumed; valid until the next `refill`.
  private(set) var available: UnsafeRawBufferPointer

  init(descriptor: Int32) {
    self.descriptor = descriptor
    buffer = .allocate(byteCount: 256 << 10, alignment: 64)
    available = UnsafeRawBufferPointer(rebasing: buffer[..<0])
  }

  deinit { buffer.deallocate() }

  /// Reads more if nothing is available; false at the end.
  func refill() throws -> Bool {
    guard available.isEmpty else { return true }
    let count = try systemCall("read") { Glibc.read(descriptor, buffer.baseAddress, buffer.count) }
    available = UnsafeRawBufferPointer(rebasing: buffer[..<count])
    return count > 0
  }

  func consume(_ count: Int) { available = UnsafeRawBufferPointer(rebasing: available.dropFirst(count)) }
}

/// A layer that is not compressed.
final class PlainDecompressor: Decompressor {
  private let input: DescriptorInput

  init(input: DescriptorInput) { self.input = input }

  func read(into output: UnsafeMutableRawBufferPointer) throws -> Int {
    var rest = output[...]
    while !rest.isEmpty, try input.refill() {
      let count = min(rest.count, input.available.count)
      UnsafeMutableRawBufferPointer(rebasing: rest).copyMemory(
        from: UnsafeRawBufferPointer(rebasing: input.available[..<count]))
      input.consume(count)
      rest = rest.dropFirst(count)
    }
    return output.count - rest.count
  }
}
