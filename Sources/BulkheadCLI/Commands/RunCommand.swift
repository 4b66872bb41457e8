import ArgumentParser
import CRI
import Common
import Foundation

struct RunCommand: DaemonCommand {
  static let configuration = CommandConfiguration(
    commandName: "run", abstract: "Runs an image in a pod of its own and ends with its exit code; nothing is left.",
    usage: "bulkheadctl run IMAGE [OPTION ...] [-- ARGUMENT ...]",
    discussion: """
      The image is pulled if it is not here. What stands after -- replaces the program that the image names. \
      The container has no input. Ctrl-C removes the pod, as every other end does; a second Ctrl-C leaves it.
      """)

  @OptionGroup var global: GlobalOptions
  @Argument(help: "The image.")
  var image: String
  @Argument(parsing: .postTerminator, help: "The program and its arguments, after --.")
  var command: [String] = []
  @Option(name: .shortAndLong, help: "An environment variable, NAME=VALUE; can be repeated.")
  var env: [EnvironmentVariable] = []
  @Option(help: "The pod's memory, as 512MiB or 2GiB.")
  var memory: MemorySize?
  @Option(help: "The pod's CPUs, as 2 or 0.5.")
  var cpus: Double?
  @Option(help: "The program's working directory.")
  var workdir: String?

  func validate() throws {
    if let cpus, !(0.01...1024).contains(cpus) { throw ValidationError("--cpus is a number from 0.01 to 1024.") }
    if let workdir, !workdir.hasPrefix("/") { throw ValidationError("--workdir is an absolute path.") }
  }

  func run(in context: CommandContext) async throws {
    let connection = Connection(global, context)
    let session = RunSession(plan: plan, context: context)
    // Without a connection there is nothing to take away.
    let image = try await connection.withDaemon { try await session.prepare($0) }
    let result: Result<Int32, any Error>
    do {
      result = .success(try await connection.withDaemon { try await session.run($0, image: image) })
    } catch {
      result = .failure(error)
    }
    // A task of its own, which the Ctrl-C that ended the run does not end.
    await Task { await session.cleanUp(connection) }.value
    let code = try result.get()
    if code != 0 { throw ProgramExit(code: code) }
  }

  private var plan: RunPlan {
    var resources = Runtime_V1_LinuxContainerResources()
    if let memory { resources.memoryLimitInBytes = Int64(clamping: memory.bytes.bytes) }
    if let cpus {
      resources.cpuPeriod = 100_000
      resources.cpuQuota = Int64(cpus * 100_000)
    }
    return RunPlan(
      image: image, command: command, environment: env, workingDirectory: workdir ?? "",
      resources: memory == nil && cpus == nil ? nil : resources)
  }
}

struct EnvironmentVariable: ExpressibleByArgument, Equatable {
  let name: String
  let value: String

  init?(argument: String) {
    guard let equals = argument.firstIndex(of: "="), equals != argument.startIndex else { return nil }
    name = String(argument[..<equals])
    value = String(argument[argument.index(after: equals)...])
  }
}

struct MemorySize: ExpressibleByArgument, Equatable {
  let bytes: ByteCount

  init?(argument: String) {
    let digits = argument.prefix { $0.isASCII && $0.isNumber }
    let shifts: [Substring: UInt64] = ["KiB": 10, "MiB": 20, "GiB": 30, "TiB": 40]
    guard let number = UInt64(digits), let shift = shifts[argument.dropFirst(digits.count)],
      case (let value, false) = number.multipliedReportingOverflow(by: 1 << shift), value > 0
    else { return nil }
    bytes = ByteCount(bytes: value)
  }
}
