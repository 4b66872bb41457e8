// bulkhead-unpack: turns one compressed layer into a data blob and an index, without privileges.
// The layer is hostile, and so is this process once it has read from it: everything that it could
// harm is given up before the first byte (Sandbox.swift), and the daemon checks what it wrote.
import Glibc
import LayerFormat
import LinuxSystem

do {
  guard let options = UnpackOptions(arguments: CommandLine.arguments.dropFirst()) else {
    throw LayerFormatError("bulkhead-unpack is started by bulkheadd, not by hand")
  }
  let result = try convert(options)
  try writeAll(Array(result.line.utf8), to: STDOUT_FILENO)
} catch {
  try? writeAll(Array("\(error)\n".utf8), to: STDERR_FILENO)
  exit(exitCode(error).rawValue)
}

private func exitCode(_ error: any Error) -> UnpackExit {
  guard let error = error as? SystemError else { return .refused }
  return [ENOSPC, EDQUOT].contains(error.number) ? .noSpace : .failed
}

private func convert(_ options: UnpackOptions) throws -> UnpackResult {
  // Whatever opens files, hashing for one, is set up before that is forbidden.
  let stream = try LayerStream(
    decompressor: decompressor(options.compression), maximumSize: options.maximumSize)
  let archive = try TarArchive(stream: stream)
  try Sandbox.enter(options)
  var converter = LayerConverter(options: options)
  try converter.convert(archive)
  return try converter.finish(diffID: stream.finish())
}

private func decompressor(_ compression: UnpackOptions.Compression) throws -> any Decompressor {
  let input = DescriptorInput(descriptor: STDIN_FILENO)
  return switch compression {
  case .none: PlainDecompressor(input: input)
  case .gzip: try GzipDecompressor(input: input)
  case .zstd: try ZstdDecompressor(input: input)
  }
}
