/// One description of a structure's fields that both writes and reads them: the structure hands each field
/// to the coder in a fixed order. The writer takes the value, the reader replaces it.
///
/// The format has no names and no versions, as writer and reader are the same executable.
public protocol FieldCoder {
  mutating func integer(_ value: inout UInt64) throws(WireError)
  mutating func bytes(_ value: inout [UInt8]) throws(WireError)
  /// The number of elements that follow; checked against what is left of the input.
  mutating func count(_ value: inout Int) throws(WireError)
}

/// What travels from the agent to the helper.
public protocol WireCoded {
  init()
  mutating func code(with coder: inout some FieldCoder) throws(WireError)
}

/// The job's bytes are not what a writer made: cut short, or with a count that can't be.
public struct WireError: Error {}

extension FieldCoder {
  mutating func integer<Value: FixedWidthInteger>(_ value: inout Value) throws(WireError) {
    var wide = UInt64(truncatingIfNeeded: value)
    try integer(&wide)
    value = Value(truncatingIfNeeded: wide)
  }

  mutating func flag(_ value: inout Bool) throws(WireError) {
    var wide: UInt64 = value ? 1 : 0
    try integer(&wide)
    value = wide != 0
  }

  mutating func choice<Value: RawRepresentable>(_ value: inout Value) throws(WireError)
  where Value.RawValue == UInt8 {
    var raw = value.rawValue
    try integer(&raw)
    guard let known = Value(rawValue: raw) else { throw WireError() }
    value = known
  }

  mutating func optional<Value: FixedWidthInteger>(_ value: inout Value?) throws(WireError) {
    var present = value != nil
    try flag(&present)
    var number = value ?? 0
    if present { try integer(&number) }
    value = present ? number : nil
  }

  mutating func list<Element: WireCoded>(_ value: inout [Element]) throws(WireError) {
    try elements(&value, empty: Element()) { (coder, element) throws(WireError) in try element.code(with: &coder) }
  }

  mutating func byteStrings(_ value: inout [[UInt8]]) throws(WireError) {
    try elements(&value, empty: []) { (coder, element) throws(WireError) in try coder.bytes(&element) }
  }

  mutating func integers(_ value: inout [UInt32]) throws(WireError) {
    try elements(&value, empty: 0) { (coder, element) throws(WireError) in try coder.integer(&element) }
  }

  private mutating func elements<Element>(
    _ value: inout [Element], empty: Element,
    _ body: (inout Self, inout Element) throws(WireError) -> Void
  ) throws(WireError) {
    var length = value.count
    try count(&length)
    if length != value.count { value = Array(repeating: empty, count: length) }
    for index in value.indices { try body(&self, &value[index]) }
  }
}

/// Appends fields to `output`.
public struct WireWriter: FieldCoder {
  public private(set) var output: [UInt8] = []
  public init() {}

  public mutating func integer(_ value: inout UInt64) {
    for shift in stride(from: 0, to: 64, by: 8) { output.append(UInt8(truncatingIfNeeded: value >> UInt64(shift))) }
  }

  public mutating func bytes(_ value: inout [UInt8]) {
    var length = value.count
    count(&length)
    output.append(contentsOf: value)
  }

  public mutating func count(_ value: inout Int) {
    var wide = UInt64(value)
    integer(&wide)
  }
}

/// Takes fields from `input`.
public struct WireReader: FieldCoder {
  private var input: ArraySlice<UInt8>
  public init(_ input: [UInt8]) { self.input = input[...] }

  public mutating func integer(_ value: inout UInt64) throws(WireError) {
    guard input.count >= 8 else { throw WireError() }
    value = 0
    for (index, byte) in input.prefix(8).enumerated() { value |= UInt64(byte) << UInt64(8 * index) }
    input = input.dropFirst(8)
  }

  public mutating func bytes(_ value: inout [UInt8]) throws(WireError) {
    var length = 0
    try count(&length)
    value = Array(input.prefix(length))
    input = input.dropFirst(length)
  }

  public mutating func count(_ value: inout Int) throws(WireError) {
    var wide: UInt64 = 0
    try integer(&wide)
    // Every element takes at least one byte, so no count that passes can allocate without bound.
    guard wide <= UInt64(input.count) else { throw WireError() }
    value = Int(wide)
  }
}

extension WireCoded {
  /// This value as bytes for `init(wire:)`.
  public func wireBytes() throws(WireError) -> [UInt8] {
    var writer = WireWriter()
    var copy = self
    try copy.code(with: &writer)
    return writer.output
  }

  public init(wire bytes: [UInt8]) throws(WireError) {
    self.init()
    var reader = WireReader(bytes)
    try code(with: &reader)
  }
}
