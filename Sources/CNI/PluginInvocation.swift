import Common
import FoundationEssentials
import Glibc
import LinuxSystem

/// One execution of one plugin (CNI specification, "Execution protocol").
struct PluginInvocation: Sendable {
  enum Command: String, Sendable {
    case add = "ADD"
    case check = "CHECK"
    case delete = "DEL"
    case status = "STATUS"
    case collect = "GC"
  }

  var command: Command
  /// The name of its executable.
  var type: String
  var configuration: [String: JSONValue]
  /// Nil for what is not about one attachment: STATUS and GC.
  var attachment: AttachmentRequest?
  var deadline: Duration

  /// What it printed, as JSON; nil if it printed nothing. Throws with what the plugin itself said of its failure.
  func run(in directories: [String]) async throws -> JSONValue? {
    let what = "CNI plugin \(type), \(command.rawValue)"
    let executable = try find(in: directories)
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.withoutEscapingSlashes, .sortedKeys]
    let input: Data
    do { input = try encoder.encode(JSONValue.object(configuration)) } catch {
      throw BulkheadError(.internalError, "\(what): its configuration can't be written", cause: error)
    }
    let result: PluginProcess.Output
    do {
      result = try await PluginProcess(
        executable: executable, environment: environment(directories), input: Array(input), deadline: deadline
      ).run()
    } catch let failure as PluginProcess.Failure {
      switch failure {
      case .deadlinePassed:
        throw BulkheadError(.deadlineExceeded, "\(what): it had not ended after \(deadline) and was killed")
      case .tooMuchOutput:
        throw BulkheadError(.internalError, "\(what): it printed more than \(PluginProcess.largestOutput) bytes")
      case .cancelled: throw BulkheadError(.cancelled, "\(what): cancelled")
      }
    } catch { throw BulkheadError(.internalError, "\(what): it can't be run", cause: error) }
    let printed = Data(result.output)
    guard result.status == 0 else { throw PluginError(printed, result).asError(what) }
    if result.output.allSatisfy({ [0x20, 0x0a, 0x0d, 0x09].contains($0) }) { return nil }
    do { return try JSONDecoder().decode(JSONValue.self, from: printed) } catch {
      throw BulkheadError(
        .internalError,
        "\(what): it printed no JSON: \(printable(String(decoding: printed, as: UTF8.self), limit: 256))")
    }
  }

  private func find(in directories: [String]) throws(BulkheadError) -> String {
    for directory in directories where access("\(directory)/\(type)", X_OK) == 0 { return "\(directory)/\(type)" }
    throw BulkheadError(
      .failedPrecondition,
      "CNI plugin \(type) is in none of \(directories.joined(separator: ", ")): install it, or correct network.cni_bin_dir"
    )
  }

  /// The daemon's own, as other runtimes give it (plugins look for iptables in PATH), and the protocol's.
  private func environment(_ directories: [String]) -> [String] {
    var variables = ProcessEnvironment.current.filter { !$0.hasPrefix("CNI_") && !$0.hasPrefix("NOTIFY_SOCKET=") }
    variables.append("CNI_COMMAND=\(command.rawValue)")
    variables.append("CNI_PATH=\(directories.joined(separator: ":"))")
    if let attachment {
      variables += [
        "CNI_CONTAINERID=\(attachment.containerID)", "CNI_NETNS=\(attachment.presentNamespace)",
        "CNI_IFNAME=\(attachment.interface)", "CNI_ARGS=\(attachment.arguments)",
      ]
    }
    return variables
  }
}

private enum ProcessEnvironment {
  /// Read once: the daemon never changes it.
  static let current: [String] = {
    var found: [String] = []
    var entry = environ
    while let text = entry.pointee {
      found.append(String(cString: text))
      entry += 1
    }
    return found
  }()
}

/// A failure in the plugin's own words: the error object it printed, else its standard error.
private struct PluginError {
  var text: String
  var code: BulkheadError.Code = .internalError

  init(_ printed: Data, _ result: PluginProcess.Output) {
    let said = printable(String(decoding: result.errors, as: UTF8.self).trimmed, limit: 1024)
    let document = try? JSONDecoder().decode(JSONValue.self, from: printed)
    if let message = document?["msg"]?.string {
      let number = document?["code"]?.integer ?? 0
      let details = document?["details"]?.string ?? ""
      text = printable(message, limit: 1024) + (details.isEmpty ? "" : ": \(printable(details, limit: 1024))")
      text += " (code \(number))"
      // "Try again later", and "the plugin is not available".
      if number == 11 || number == 50 || number == 51 { code = .unavailable }
    } else {
      let output = printable(String(decoding: printed, as: UTF8.self).trimmed, limit: 256)
      text = result.status > 128 ? "it was ended by signal \(result.status - 128)" : "it ended with \(result.status)"
      if !output.isEmpty { text += ", having printed \(output)" }
    }
    if !said.isEmpty { text += "; its standard error: \(said)" }
  }

  func asError(_ what: String) -> BulkheadError { BulkheadError(code, "\(what): \(text)") }
}

extension String {
  fileprivate var trimmed: Substring {
    var rest = self[...]
    while rest.first?.isWhitespace == true { rest.removeFirst() }
    while rest.last?.isWhitespace == true { rest.removeLast() }
    return rest
  }
}
