import Common
import Foundation

extension Configuration {
  /// Reads a file and lets the environment override it.
  ///
  /// Throws `notFound` where there is no file, `invalidArgument` with a line for each mistake in it.
  /// Blocks on the file; meant for a process's start.
  public static func load(path: String, environment: [String: String]) throws(BulkheadError) -> Configuration {
    let data: Data
    do {
      data = try Data(contentsOf: URL(fileURLWithPath: path))
    } catch let error as CocoaError where error.code == .fileReadNoSuchFile || error.code == .fileNoSuchFile {
      throw BulkheadError(
        .notFound, "\(path): no such file; `bulkheadd --print-default-config` prints one with every key and its default"
      )
    } catch {
      throw BulkheadError(.permissionDenied, "\(path): can't be read", cause: error)
    }
    guard let text = String(validating: data, as: UTF8.self) else {
      throw BulkheadError(.invalidArgument, "\(path): not UTF-8")
    }
    var configuration = try parse(text, file: path)
    try configuration.apply(environment: environment)
    return configuration
  }

  /// BULKHEAD_ACCEL, if it is set and not empty, stands over vm.accelerator.
  public mutating func apply(environment: [String: String]) throws(BulkheadError) {
    guard let word = environment["BULKHEAD_ACCEL"], !word.isEmpty else { return }
    guard let choice = AcceleratorChoice(rawValue: word) else {
      throw BulkheadError(.invalidArgument, "BULKHEAD_ACCEL is \"\(printable(word))\"; it may be auto, kvm or tcg")
    }
    vm.accelerator = choice
  }
}
