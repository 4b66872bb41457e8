import LayerFormat

/// The bytes of an inode's extended attributes, behind it; none if it has none that EROFS can hold.
///
/// Left out are names of namespaces that Linux does not store (as unpacking would), and overlayfs's
/// own: an image must not say what the container's overlay mount does with its files.
func xattrBody(_ xattrs: [ExtendedAttribute]) -> [UInt8] {
  var body: [UInt8] = []
  body.pad(to: OnDisk.xattrHeaderSize)  // no name filter, no shared attributes
  for xattr in xattrs {
    guard let (index, suffix) = splitPrefix(xattr.name) else { continue }
    body.append(UInt8(truncatingIfNeeded: suffix.count))
    body.append(index)
    body.appendLittleEndian(UInt16(truncatingIfNeeded: xattr.value.count))
    body.append(contentsOf: suffix)
    body.append(contentsOf: xattr.value)
    body.pad(to: roundUp(body.count, to: 4))
  }
  return body.count == OnDisk.xattrHeaderSize ? [] : body
}

/// A name as EROFS has it: a number for its prefix, and the rest.
private func splitPrefix(_ name: [UInt8]) -> (index: UInt8, suffix: ArraySlice<UInt8>)? {
  if name.starts(with: "trusted.overlay.".utf8) { return nil }
  for (index, prefix) in [(1, "user."), (4, "trusted."), (6, "security.")] as [(UInt8, String)] {
    let suffix = name.dropFirst(prefix.utf8.count)
    if name.starts(with: prefix.utf8), !suffix.isEmpty { return (index, suffix) }
  }
  if name.elementsEqual("system.posix_acl_access".utf8) { return (2, []) }
  if name.elementsEqual("system.posix_acl_default".utf8) { return (3, []) }
  return nil
}
