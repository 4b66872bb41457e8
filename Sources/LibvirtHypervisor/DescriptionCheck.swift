import Common
import Hypervisor

/// What a machine may be described as, checked before anything of it is made.
extension MachineDescription {
  static let maximumInterfaces = 8

  func check(_ configuration: LibvirtConfiguration) throws(BulkheadError) {
    try require(
      (1...configuration.maximumVCPUs).contains(vcpus), "\(vcpus) vCPUs; 1 to \(configuration.maximumVCPUs) can be")
    try require(
      memory >= .mebibytes(64) && memory <= configuration.maximumMemory && memory.bytes.isMultiple(of: 1 << 20),
      "\(memory.bytes) bytes of memory; whole MiB from 64 MiB to \(configuration.maximumMemory) can be")
    try require(uid != 0 && gid != 0 && uid != .max && gid != .max, "no user of its own to run as")
    try require((1...64).contains(secret.utf8.count) && secret.utf8.allSatisfy(isHexDigit), "no secret of hex digits")
    try require(disks.count <= 64, "too many disks")
    try require(Set(disks.map(\.serial)).count == disks.count, "two disks with one serial")
    for disk in disks { try disk.check() }
    try require(interfaces.count <= Self.maximumInterfaces, "too many network interfaces")
    for interface in interfaces { try interface.check() }
  }
}

extension MachineDisk {
  func check() throws(BulkheadError) {
    let isSerial = (1...20).contains(serial.utf8.count) && serial.utf8.allSatisfy(isNameCharacter)
    try require(isSerial, "a disk's serial \"\(printable(serial))\" is not 1 to 20 of [a-z0-9-]")
    try require((1...1024).contains(extents.count), "disk \(serial) has \(extents.count) files; 1 to 1024 can be")
    try require(readonly || extents.count == 1, "disk \(serial) is writable and has several files")
  }
}

extension MachineShare {
  func check() throws(BulkheadError) {
    let isTag = (1...36).contains(tag.utf8.count) && tag.utf8.allSatisfy(isNameCharacter)
    try require(isTag, "a share's tag \"\(printable(tag))\" is not 1 to 36 of [a-z0-9-]")
    try require(directory.hasPrefix("/"), "a share's directory \"\(printable(directory))\" is no absolute path")
  }
}

extension MachineInterface {
  func check() throws(BulkheadError) {
    let isTap =
      (1...15).contains(tap.utf8.count)
      && tap.utf8.allSatisfy {
        isNameCharacter($0) || ("A"..."Z").contains(UnicodeScalar($0)) || $0 == 0x5f || $0 == 0x2e
      }
    try require(isTap, "a tap's name \"\(printable(tap))\" is not 1 to 15 of [a-zA-Z0-9_.-]")
    let bytes = macAddress.split(separator: ":", omittingEmptySubsequences: false)
    try require(
      bytes.count == 6 && bytes.allSatisfy { $0.utf8.count == 2 && $0.utf8.allSatisfy(isHexDigit) },
      "\"\(printable(macAddress))\" is no hardware address")
  }
}

private func require(_ condition: Bool, _ complaint: @autoclosure () -> String) throws(BulkheadError) {
  if !condition { throw BulkheadError(.invalidArgument, "the machine cannot be as described: \(complaint())") }
}

private func isHexDigit(_ byte: UInt8) -> Bool { Character(UnicodeScalar(byte)).isHexDigit }

private func isNameCharacter(_ byte: UInt8) -> Bool {
  ("a"..."z").contains(UnicodeScalar(byte)) || ("0"..."9").contains(UnicodeScalar(byte)) || byte == UInt8(ascii: "-")
}
