import ArgumentParser
import CRI
import Common
import Foundation
import OperatorAPI

struct ImageCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "image", abstract: "Pulls, imports, lists and removes images.",
    subcommands: [ImageListCommand.self, ImagePullCommand.self, ImageImportCommand.self, ImageRemoveCommand.self])
}

struct ImageListCommand: DaemonCommand {
  static let configuration = CommandConfiguration(commandName: "ls", abstract: "Lists the images.")

  @OptionGroup var global: GlobalOptions
  @Flag(name: .shortAndLong, help: "Print ids only.")
  var quiet = false

  func run(in context: CommandContext) async throws {
    try await printImages(global, quiet, context)
  }
}

struct ImagePullCommand: DaemonCommand {
  static let configuration = CommandConfiguration(
    commandName: "pull", abstract: "Pulls an image from its registry and prints its id.")

  @OptionGroup var global: GlobalOptions
  @Argument(help: "The image, as registry/name:tag or registry/name@digest.")
  var image: String
  @Option(help: "The registry's user.")
  var username: String?
  @Flag(help: "Read the user's password from stdin.")
  var passwordStdin = false

  func validate() throws {
    if (username != nil) != passwordStdin { throw ValidationError("--username and --password-stdin go together.") }
  }

  func run(in context: CommandContext) async throws {
    var request = Bulkhead_Operator_V1_PullImageRequest()
    request.image = image
    if let username {
      request.username = username
      request.password = readLine() ?? ""
    }
    let id = try await Connection(global, context).withDaemon { [request] daemon in
      try await daemon.pull(request, PullDisplay(context, format: global.output))
    }
    switch global.output {
    case .json: try context.output.print(json: ["id": id])
    case .table: try context.output.write("\(id)\n")
    }
  }
}

struct ImageImportCommand: DaemonCommand {
  static let configuration = CommandConfiguration(
    commandName: "import", abstract: "Imports images from an OCI layout (directory or tar) or a docker archive.")

  @OptionGroup var global: GlobalOptions
  @Argument(help: "The layout or archive on this node.", completion: .file())
  var path: String
  @Option(help: "What to call an image that carries no name.")
  var name: String?

  func run(in context: CommandContext) async throws {
    // The daemon has a working directory of its own.
    let request = Bulkhead_Operator_V1_ImportImageRequest.with {
      $0.path = URL(fileURLWithPath: path).standardizedFileURL.path
      $0.name = name ?? ""
    }
    let images = try await Connection(global, context).withDaemon {
      try await $0.node.importImage(request, options: $0.patient).images
    }
    let rows = images.map { ImportedRow(id: $0.id, names: $0.names) }
    try context.output.print(rows, as: global.output)
  }
}

private struct ImportedRow: ListRow {
  let id: String
  let names: [String]

  static let columns = [
    Column<ImportedRow>("IMAGE ID") { shortID($0.id) },
    Column("NAMES") { $0.names.isEmpty ? "<none>" : $0.names.joined(separator: ", ") },
  ]
}

struct ImageRemoveCommand: DaemonCommand {
  static let configuration = CommandConfiguration(
    commandName: "rm", abstract: "Removes images.",
    discussion: "One name of several only takes that name away; an id takes all.")

  @OptionGroup var global: GlobalOptions
  @Argument(help: "The images, by name or id.")
  var images: [String]

  func run(in context: CommandContext) async throws {
    let (images, output) = (images, context.output)
    try await Connection(global, context).withDaemon { daemon in
      for name in images {
        guard let image = try await daemon.image(name) else {
          throw CommandFailure("there is no image \"\(printable(name))\"")
        }
        let byID = image.id.hasPrefix(name) || image.id.hasPrefix("sha256:\(name)")
        _ = try await daemon.images.removeImage(
          .with { $0.image.image = byID ? image.id : name }, options: daemon.quick)
        try output.write("\(byID ? image.id : name)\n")
      }
    }
  }
}
