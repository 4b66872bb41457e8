import CLinux
import Glibc
import LinuxSystem

/// Becomes the program `arguments[0]`, looked up in the environment's PATH as a shell would. Returns only
/// by throwing: 127 if there is no such program, 126 if it can't be run.
func runProgram(_ arguments: [[UInt8]], environment: [[UInt8]]) throws(StepError) -> Never {
  guard let name = arguments.first, !name.isEmpty else {
    throw StepError("the command is empty", exitCode: 127)
  }
  var failure = ENOENT
  for candidate in candidates(name, environment) {
    let number = execute(candidate, arguments, environment)
    switch number {
    case ENOENT, ENOTDIR: continue
    // Like the C library, remember that there was one and look on.
    case EACCES: failure = EACCES
    default: throw StepError("exec \"\(shown(candidate))\"", number: number, notFound: false)
    }
  }
  guard failure == ENOENT else { throw StepError("exec \"\(shown(name))\"", number: failure, notFound: false) }
  if name.contains(slash) { throw StepError("exec \"\(shown(name))\"", number: ENOENT, notFound: true) }
  throw StepError("exec \"\(shown(name))\": executable file not found in $PATH", exitCode: 127)
}

extension StepError {
  fileprivate init(_ doing: String, number: Int32, notFound: Bool) {
    self.init(doing, number: number)
    exitCode = notFound ? 127 : 126
  }
}

private func candidates(_ name: [UInt8], _ environment: [[UInt8]]) -> [[UInt8]] {
  if name.contains(slash) { return [name] }
  let prefix = Array("PATH=".utf8)
  let path = environment.last { $0.starts(with: prefix) }.map { Array($0.dropFirst(prefix.count)) } ?? defaultPath
  return path.split(separator: UInt8(ascii: ":")).map { $0 + [slash] + name }
}

private let defaultPath = Array("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".utf8)

private func execute(_ path: [UInt8], _ arguments: [[UInt8]], _ environment: [[UInt8]]) -> Int32 {
  withCStringArray(arguments) { argv in
    withCStringArray(environment) { envp in
      _ = withPath(path) { execve($0, argv, envp) }
      return errno
    }
  }
}

private func withCStringArray<Result>(
  _ strings: [[UInt8]], _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> Result
) -> Result {
  var offsets: [Int] = []
  var storage: [CChar] = []
  for string in strings {
    offsets.append(storage.count)
    storage.append(contentsOf: string.lazy.map { CChar(bitPattern: $0) })
    storage.append(0)
  }
  return storage.withUnsafeMutableBufferPointer { buffer in
    let pointers = offsets.map { offset in buffer.baseAddress.map { $0 + offset } } + [nil]
    return body(pointers)
  }
}
