/// Looks for ctrl-p ctrl-q in what the user types: that leaves the container alone and ends the attach. A ctrl-p
/// by itself goes through as soon as it is known that no ctrl-q follows.
struct DetachKeys {
  private static let keys: [UInt8] = [0x10, 0x11]
  private var heldBack = false

  /// What goes to the container, and whether the user detached; what came after that is dropped.
  mutating func feed(_ bytes: [UInt8]) -> (passed: [UInt8], detached: Bool) {
    var passed: [UInt8] = []
    for byte in bytes {
      if heldBack {
        if byte == Self.keys[1] { return (passed, true) }
        passed.append(Self.keys[0])
        heldBack = false
      }
      if byte == Self.keys[0] { heldBack = true } else { passed.append(byte) }
    }
    return (passed, false)
  }
}
