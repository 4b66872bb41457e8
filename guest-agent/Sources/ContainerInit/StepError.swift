import Glibc
import LinuxSystem

/// A step of building a container that failed, as text for whoever asked for the container.
struct StepError: Error {
  var text: String
  /// 126 and 127 as shells have them; 128 for all that is not about the program.
  var exitCode: UInt32 = 128

  init(_ text: String, exitCode: UInt32 = 128) {
    self.text = text
    self.exitCode = exitCode
  }

  init(_ doing: String, number: Int32) {
    self.init("\(doing): \(String(cString: strerror(number)))")
  }
}

/// Runs one step. An error that leaves it says first what was being done.
@discardableResult
func step<Result: ~Copyable>(_ doing: @autoclosure () -> String, _ body: () throws -> Result) throws(StepError)
  -> Result
{
  do {
    return try body()
  } catch let error as StepError {
    throw StepError("\(doing()): \(error.text)", exitCode: error.exitCode)
  } catch {
    throw StepError("\(doing()): \(error)")
  }
}

/// `path` as text for an error message: what is not printable ASCII becomes `\xNN`, so that no image writes
/// control bytes into anyone's log; cut at 256 bytes.
public func shown(_ path: some Collection<UInt8>) -> String {
  let digits = Array("0123456789abcdef".unicodeScalars)
  var text = ""
  for byte in path.prefix(256) {
    if (0x20..<0x7f).contains(byte) {
      text.unicodeScalars.append(Unicode.Scalar(byte))
    } else {
      text += "\\x"
      text.unicodeScalars.append(digits[Int(byte >> 4)])
      text.unicodeScalars.append(digits[Int(byte & 15)])
    }
  }
  return path.count > 256 ? text + "..." : text
}
