import Common
import Foundation
import Glibc
import Images
import Testing

/// A directory of the test's own, gone with it.
final class Scratch {
  let path: String

  init() throws {
    path = (NSTemporaryDirectory() as NSString).appendingPathComponent("bulkhead-layers-\(UUID().uuidString)")
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  func directory(_ name: String) throws -> String {
    try FileManager.default.createDirectory(atPath: "\(path)/\(name)", withIntermediateDirectories: true)
    return "\(path)/\(name)"
  }
}

/// The unpacker that this test run built; it lies beside the tests' own executable.
let unpackerPath: String = {
  let own = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
  return (own as NSString).deletingLastPathComponent + "/bulkhead-unpack"
}()

let testLimits = LayerLimits(stallTimeout: .seconds(20))

func unpacker(limits: LayerLimits = testLimits) -> LayerUnpacker {
  let isRoot = geteuid() == 0
  return LayerUnpacker(
    executable: unpackerPath, uid: isRoot ? 65532 : geteuid(), gid: isRoot ? 65532 : getegid(), limits: limits)
}

/// Converts `layer` in pieces of `piece` bytes, as a download would come in.
@discardableResult
func convert(
  _ layer: [UInt8], _ compression: LayerCompression = .none, into directory: String,
  limits: LayerLimits = testLimits, piece: Int = 100_000
) async throws -> ConvertedLayer {
  let unpacking = try await unpacker(limits: limits).start(compression: compression, directory: directory)
  do {
    for start in stride(from: 0, to: layer.count, by: piece) {
      try await unpacking.write(Array(layer[start..<min(start + piece, layer.count)]))
    }
    return try await unpacking.finish()
  } catch {
    await unpacking.abort()
    throw error
  }
}

/// What converting `layer` fails with.
func refusal(
  _ layer: [UInt8], _ compression: LayerCompression = .none, limits: LayerLimits = testLimits
) async throws -> BulkheadError {
  let scratch = try Scratch()
  do {
    let converted = try await convert(layer, compression, into: scratch.path, limits: limits)
    throw Failure("was converted: \(converted)")
  } catch let error as BulkheadError {
    return error
  }
}

/// Converts `tars`, base first, and writes the image of them; returns its files.
func makeImage(_ tars: [[UInt8]], in scratch: Scratch) async throws -> [ImageExtent] {
  var layers: [LayerFiles] = []
  for (number, tar) in tars.enumerated() {
    let directory = try scratch.directory("layer\(number)")
    try await convert(tar, into: directory)
    layers.append(LayerFiles(directory: directory))
  }
  return try await ImageFilesystem.write(layers: layers, imageID: exampleImage, to: scratch.path + "/image")
}

let exampleImage = Digest(hex: String(repeating: "5a", count: 32))!

struct Failure: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}

/// Runs a program and returns what it printed; throws that if it fails.
@discardableResult
func run(_ command: String...) throws -> String { try run(command) }

@discardableResult
func run(_ command: [String]) throws -> String {
  let process = Process()
  process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
  process.arguments = command
  let output = Pipe()
  process.standardOutput = output
  process.standardError = output
  try process.run()
  let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
  process.waitUntilExit()
  guard process.terminationStatus == 0 else { throw Failure("\(command.joined(separator: " ")): \(text)") }
  return text
}

func requireRoot() throws {
  try #require(geteuid() == 0, "this test mounts a filesystem, which takes root")
}
