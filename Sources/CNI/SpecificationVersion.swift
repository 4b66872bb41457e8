/// A version of the CNI specification that this runtime speaks.
public enum SpecificationVersion: String, Sendable, Codable, Comparable, CaseIterable {
  case v0_3_1 = "0.3.1"
  case v0_4_0 = "0.4.0"
  case v1_0_0 = "1.0.0"
  case v1_1_0 = "1.1.0"

  private var rank: Int { Self.allCases.firstIndex(of: self) ?? 0 }
  public static func < (a: Self, b: Self) -> Bool { a.rank < b.rank }

  /// CHECK, and the result in what DEL is given.
  var hasCheck: Bool { self >= .v0_4_0 }
  var hasStatusAndGC: Bool { self >= .v1_1_0 }
}
