import ArgumentParser
import CRI
import Common

struct ImagesCommand: DaemonCommand {
  static let configuration = CommandConfiguration(commandName: "images", abstract: "Lists the images.")

  @OptionGroup var global: GlobalOptions
  @Flag(name: .shortAndLong, help: "Print ids only.")
  var quiet = false

  func run(in context: CommandContext) async throws {
    try await printImages(global, quiet, context)
  }
}

func printImages(_ global: GlobalOptions, _ quiet: Bool, _ context: CommandContext) async throws {
  let images = try await Connection(global, context).withDaemon {
    try await $0.images.listImages(.init(), options: $0.quick).images
  }
  let rows = images.map(ImageRow.init).sorted { ($0.title, $0.id) < ($1.title, $1.id) }
  if global.output == .table, !quiet {
    // A line a tag, as a tag is what is removed.
    let lines = rows.flatMap { row in
      (row.tags.isEmpty ? [row.title] : row.tags).map { ImageLine(name: $0, image: row) }
    }
    try context.output.print(table(lines, ImageLine.columns))
  } else {
    try context.output.print(rows, as: global.output, quiet: quiet)
  }
}

struct ImageRow: ListRow {
  let id: String
  let tags: [String]
  let digests: [String]
  let size: UInt64
  let pinned: Bool

  init(_ image: Runtime_V1_Image) {
    id = image.id
    tags = image.repoTags.sorted()
    digests = image.repoDigests.sorted()
    size = image.size
    pinned = image.pinned
  }

  /// What it is called by; an image of digests only by the first of them.
  var title: String { tags.first ?? digests.first ?? "<none>" }

  static let columns = [Column<ImageRow>("IMAGE ID") { shortID($0.id) }]
}

private struct ImageLine {
  let name: String
  let image: ImageRow

  static let columns = [
    Column<ImageLine>("IMAGE") { $0.name },
    Column("IMAGE ID") { shortID($0.image.id) },
    Column("SIZE", alignRight: true) { ByteCount(bytes: $0.image.size).description },
    Column("") { $0.image.pinned ? "pinned" : "" },
  ]
}
