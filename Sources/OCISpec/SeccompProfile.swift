/// A seccomp profile as runtimes read it: `linux.seccomp` of the OCI runtime specification (config-linux.md,
/// Seccomp), with the fields by which Docker's and CRI-O's own profiles make rules conditional. Fields that
/// neither has are ignored, as Go's decoder does.
public struct SeccompProfile: Decodable, Sendable, Equatable {
  public var defaultAction: Action
  public var defaultErrnoRet: UInt32?
  public var architectures: [String]?
  public var archMap: [ArchitectureMap]?
  public var flags: [String]?
  public var syscalls: [Rule]?

  public enum Action: String, Decodable, Sendable, CaseIterable {
    case kill = "SCMP_ACT_KILL"
    case killProcess = "SCMP_ACT_KILL_PROCESS"
    case killThread = "SCMP_ACT_KILL_THREAD"
    case trap = "SCMP_ACT_TRAP"
    case errno = "SCMP_ACT_ERRNO"
    case trace = "SCMP_ACT_TRACE"
    case allow = "SCMP_ACT_ALLOW"
    case log = "SCMP_ACT_LOG"
    case notify = "SCMP_ACT_NOTIFY"
  }

  public struct Rule: Decodable, Sendable, Equatable {
    public var names: [String]?
    /// Docker's older way of a rule with one name.
    public var name: String?
    public var action: Action
    public var errnoRet: UInt32?
    public var args: [Argument]?
    public var includes: Condition?
    public var excludes: Condition?
  }

  public struct Argument: Decodable, Sendable, Equatable {
    public var index: UInt32
    public var value: UInt64
    public var valueTwo: UInt64?
    public var op: Operator

    private enum CodingKeys: CodingKey { case index, value, valueTwo, op }

    public init(from decoder: any Decoder) throws {
      let container = try decoder.container(keyedBy: CodingKeys.self)
      index = try container.decode(UInt32.self, forKey: .index)
      value = try Self.number(.value, in: container)
      valueTwo = container.contains(.valueTwo) ? try Self.number(.valueTwo, in: container) : nil
      op = try container.decode(Operator.self, forKey: .op)
    }

    /// The decoder would call a document with a number that does not fit no JSON at all.
    private static func number(_ key: CodingKeys, in container: KeyedDecodingContainer<CodingKeys>) throws -> UInt64 {
      do { return try container.decode(UInt64.self, forKey: key) } catch let error as DecodingError {
        throw error
      } catch {
        throw DecodingError.dataCorruptedError(
          forKey: key, in: container, debugDescription: "it is not a number from 0 to \(UInt64.max)")
      }
    }
  }

  public enum Operator: String, Decodable, Sendable, CaseIterable {
    case notEqual = "SCMP_CMP_NE"
    case less = "SCMP_CMP_LT"
    case lessOrEqual = "SCMP_CMP_LE"
    case equal = "SCMP_CMP_EQ"
    case greaterOrEqual = "SCMP_CMP_GE"
    case greater = "SCMP_CMP_GT"
    case maskedEqual = "SCMP_CMP_MASKED_EQ"
  }

  /// When a rule counts. Architectures are Go's names, capabilities the kernel's.
  public struct Condition: Decodable, Sendable, Equatable {
    public var caps: [String]?
    public var arches: [String]?
    /// "major.minor"
    public var minKernel: String?
  }

  public struct ArchitectureMap: Decodable, Sendable, Equatable {
    public var architecture: String
    public var subArchitectures: [String]?
  }
}
