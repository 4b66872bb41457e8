import LinuxSystem

#if canImport(Glibc)
  import Glibc
#endif

/// The guest's memory, mapped: unmapped when the last holder lets go of it.
final class MappedMemory {
  let memory: GuestMemory
  private let mappings: [(base: UnsafeMutableRawPointer, count: Int)]

  init() {
    memory = GuestMemory()
    mappings = []
  }

  /// Maps each region from the descriptor that came with it.
  ///
  /// A file is mapped from its beginning, not from the region's offset, which need not be a multiple of
  /// a huge page. Throws if a region is empty, wraps around or lies beyond its file's end: touching
  /// such memory would be a SIGBUS.
  init(_ descriptions: [VhostUserRequest.RegionDescription], _ descriptors: [FileDescriptor]) throws {
    guard descriptions.count == descriptors.count else {
      throw DeviceFailure("QEMU described \(descriptions.count) memory regions with \(descriptors.count) descriptors")
    }
    var mappings: [(base: UnsafeMutableRawPointer, count: Int)] = []
    var regions: [GuestMemory.Region] = []
    do {
      for (description, descriptor) in zip(descriptions, descriptors) {
        let mapping = try Self.map(description, descriptor)
        mappings.append(mapping)
        let offset = Int(description.fileOffset)
        let bytes = SharedBytes(base: mapping.base + offset, count: mapping.count - offset)
        guard
          let region = GuestMemory.Region(
            guestAddress: description.guestAddress, userAddress: description.userAddress, bytes: bytes)
        else { throw DeviceFailure("QEMU described a memory region that wraps around") }
        regions.append(region)
      }
    } catch {
      for mapping in mappings { munmap(mapping.base, mapping.count) }
      throw error
    }
    self.mappings = mappings
    memory = GuestMemory(regions)
  }

  private static func map(
    _ description: VhostUserRequest.RegionDescription, _ descriptor: FileDescriptor
  ) throws -> (base: UnsafeMutableRawPointer, count: Int) {
    var status = stat()
    try systemCall("fstat") { fstat(descriptor.number, &status) }
    let (end, overflow) = description.fileOffset.addingReportingOverflow(description.count)
    guard description.count > 0, !overflow, status.st_size >= 0, end <= UInt64(status.st_size) else {
      throw DeviceFailure("QEMU described a memory region beyond the end of its file")
    }
    let base = mmap(nil, Int(end), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, descriptor.number, 0)
    guard let base, base != MAP_FAILED else { throw SystemError("mmap", errno, subject: "the guest's memory") }
    return (base, Int(end))
  }

  deinit {
    for mapping in mappings { munmap(mapping.base, mapping.count) }
  }
}
