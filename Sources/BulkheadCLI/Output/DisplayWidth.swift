/// How many columns of a terminal `text` takes: two for East Asian wide characters and emoji, none
/// for combining marks (Unicode Standard Annex 11). Control characters must be escaped before.
func displayWidth(_ text: String) -> Int {
  text.reduce(0) { $0 + characterWidth($1) }
}

private func characterWidth(_ character: Character) -> Int {
  guard let first = character.unicodeScalars.first else { return 0 }
  if first.isASCII { return 1 }
  switch first.properties.generalCategory {
  case .nonspacingMark, .enclosingMark: return 0
  default: break
  }
  // A flag or a character with the emoji variation selector is drawn as an emoji.
  if character.unicodeScalars.contains(where: { $0.value == 0xfe0f }) { return 2 }
  return wideRanges.contains { $0.contains(first.value) } ? 2 : 1
}

private let wideRanges: [ClosedRange<UInt32>] = [
  0x1100...0x115f, 0x231a...0x231b, 0x2329...0x232a, 0x23e9...0x23ec, 0x25fd...0x25fe, 0x2614...0x2615,
  0x2e80...0x303e, 0x3041...0x33ff, 0x3400...0x4dbf, 0x4e00...0x9fff, 0xa000...0xa4cf, 0xa960...0xa97f,
  0xac00...0xd7a3, 0xf900...0xfaff, 0xfe30...0xfe6f, 0xff00...0xff60, 0xffe0...0xffe6, 0x16fe0...0x18cff,
  0x1b000...0x1b2ff, 0x1f004...0x1f004, 0x1f0cf...0x1f0cf, 0x1f18e...0x1f18e, 0x1f191...0x1f19a,
  0x1f1e6...0x1f320, 0x1f32d...0x1f64f, 0x1f680...0x1f6ff, 0x1f7e0...0x1f7eb, 0x1f90c...0x1f9ff,
  0x1fa70...0x1faff, 0x20000...0x3fffd,
]
