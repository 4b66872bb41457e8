import ArgumentParser
import BulkheadConfiguration
import Common
import Foundation
import Logging

@main
struct Bulkheadd: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bulkheadd",
    abstract: "The Kubernetes container runtime that gives every pod a virtual machine of its own.",
    discussion: """
      Serves the CRI on a unix socket and runs in the foreground until SIGTERM or SIGINT. Pods go on \
      running when the daemon ends, however it ends, and the next one finds them again.
      """,
    version: bulkheadVersion)

  @Option(name: .shortAndLong, help: "The configuration file (TOML).")
  var config = "/etc/bulkhead/config.toml"

  @Flag(help: "Print the default configuration, every key with what it means, and exit.")
  var printDefaultConfig = false

  @Flag(help: "Check the configuration file and exit.")
  var checkConfig = false

  func run() async throws {
    if printDefaultConfig { return print(Configuration.documentedDefault(), terminator: "") }
    do {
      let settings = try Configuration.load(path: config, environment: ProcessInfo.processInfo.environment)
      IdleMemory.limitHeaps()
      if checkConfig { return print("\(config): ok") }
      bootstrapLogging(settings.daemon)
      try await Daemon(settings: settings, logger: Logger(label: "bulkheadd")).run()
    } catch {
      // Every failure as one line that says what to do.
      FileHandle.standardError.write(Data("bulkheadd: \(error)\n".utf8))
      throw ExitCode(1)
    }
  }
}
