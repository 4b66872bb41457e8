import AgentProtocol
import Testing

@testable import AgentCore

/// Compiled profiles, run by an interpreter of the instructions that libseccomp writes.
struct SeccompProgramTests {
  private static let native: UInt32 = 0xc000_003e
  private static let allowed: UInt32 = 0x7fff_0000
  private static let errno: UInt32 = 0x0005_0000

  private func verdict(_ program: SeccompProgram, _ call: UInt32, architecture: UInt32 = native, _ arguments: UInt64...)
    -> UInt32?
  {
    func field(_ offset: Int) -> UInt32 {
      switch offset {
      case 0: return call
      case 4: return architecture
      case 16..<64:
        let value = (offset - 16) / 8 < arguments.count ? arguments[(offset - 16) / 8] : 0
        return UInt32(truncatingIfNeeded: offset % 8 == 0 ? value : value >> 32)
      default: return 0
      }
    }
    func number(_ at: Int, _ bytes: Int) -> UInt32 {
      (0..<bytes).reduce(0) { $0 | UInt32(program.bytes[at + $1]) << UInt32(8 * $1) }
    }
    var accumulator: UInt32 = 0
    var counter = 0
    while (counter + 1) * 8 <= program.bytes.count {
      let at = counter * 8
      let (value, then, otherwise) = (number(at + 4, 4), Int(program.bytes[at + 2]), Int(program.bytes[at + 3]))
      counter += 1
      switch number(at, 2) {
      case 0x20: accumulator = field(Int(value))
      case 0x54: accumulator &= value
      case 0x05: counter += Int(value)
      case 0x15: counter += accumulator == value ? then : otherwise
      case 0x25: counter += accumulator > value ? then : otherwise
      case 0x35: counter += accumulator >= value ? then : otherwise
      case 0x45: counter += accumulator & value != 0 ? then : otherwise
      case 0x06: return value
      default: return nil
      }
    }
    return nil
  }

  private func compile(_ fallback: String, errno: UInt32? = nil) throws -> SeccompProgram {
    try SeccompCompiler().compile(
      .with {
        $0.defaultAction = fallback
        if let errno { $0.defaultErrno = errno }
        $0.architectures = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]
        $0.syscalls = [
          .with {
            $0.names = ["read"]
            $0.action = "SCMP_ACT_ALLOW"
            $0.args = [
              .with {
                $0.index = 0; $0.value = 40; $0.op = "SCMP_CMP_NE"
              }
            ]
          }
        ]
      })
  }

  /// C libraries fall back from a call that is missing, not from one that is forbidden.
  @Test func callsThatNobodyKnowsAreMissing() throws {
    let program = try compile("SCMP_ACT_ERRNO", errno: 1)
    #expect(verdict(program, 0, 3) == Self.allowed)
    #expect(verdict(program, 0, 40) == Self.errno | 1)
    #expect(verdict(program, 1) == Self.errno | 1)
    #expect(verdict(program, 450) == Self.errno | 1)
    #expect(verdict(program, 999) == Self.errno | 38)
    // x32 and foreign architectures are the profile's business.
    #expect(verdict(program, 0x4000_0000 + 999) != Self.errno | 38)
    #expect(verdict(program, 999, architecture: 0x4000_0003) == Self.errno | 1)
    #expect(verdict(program, 0, architecture: 0xc000_00b7) == 0)
  }

  @Test func aDefaultThatIsNoErrorStays() throws {
    #expect(verdict(try compile("SCMP_ACT_KILL_PROCESS"), 999) == 0x8000_0000)
    #expect(verdict(try compile("SCMP_ACT_TRACE"), 999) == 0x7ff0_0001)
  }
}
