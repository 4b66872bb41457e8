import Common
import FoundationEssentials
import Glibc
import LinuxSystem

/// The directory that holds the node's networks. Read anew each time, since whatever writes it (a network's
/// own daemon, an operator) tells nobody.
public struct ConfigurationDirectory: Sendable {
  public var path: String
  /// How many networks a pod gets: the first valid files in the order of their names.
  public var maximum: Int

  public init(path: String, maximum: Int) {
    self.path = path
    self.maximum = maximum
  }

  /// What was found: the networks to use, and for each file that can't be, why.
  public struct Contents: Sendable, Equatable {
    public var networks: [NetworkConfiguration] = []
    public var problems: [String] = []
  }

  private static let largestFile = 1 << 20

  /// Blocks on the files. A directory that is missing has no networks.
  public func read() -> Contents {
    var contents = Contents()
    let names: [String]
    do { names = try list() } catch {
      if error.number != ENOENT { contents.problems.append("\(error)") }
      return contents
    }
    for name in names.sorted() where contents.networks.count < maximum {
      do {
        let network = try network(named: name)
        guard !contents.networks.contains(where: { $0.name == network.name }) else {
          throw BulkheadError(.invalidArgument, "another file has a network named \(network.name)")
        }
        contents.networks.append(network)
      } catch {
        contents.problems.append("\(path)/\(printable(name, limit: 255)) is not used: \(error)")
      }
    }
    return contents
  }

  private func network(named name: String) throws -> NetworkConfiguration {
    let file = "\(path)/\(name)"
    let descriptor = try systemCall("open") { open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK) }
    defer { close(descriptor) }
    var facts = stat()
    try systemCall("fstat") { fstat(descriptor, &facts) }
    guard facts.st_mode & S_IFMT == S_IFREG else { throw BulkheadError(.invalidArgument, "it is not a file") }
    guard facts.st_size <= Self.largestFile else { throw BulkheadError(.invalidArgument, "it is larger than 1 MiB") }
    return try NetworkConfiguration(try readAll(descriptor), isList: name.hasSuffix(".conflist"))
  }

  private func readAll(_ descriptor: Int32) throws(SystemError) -> Data {
    var bytes: [UInt8] = []
    var part = [UInt8](repeating: 0, count: 64 << 10)
    while bytes.count <= Self.largestFile {
      let count = try systemCall("read") { Glibc.read(descriptor, &part, part.count) }
      if count == 0 { break }
      bytes += part.prefix(count)
    }
    return Data(bytes)
  }

  /// The files that can hold networks; hidden ones are somebody's half-written copies.
  private func list() throws(SystemError) -> [String] {
    guard let directory = opendir(path) else { throw SystemError("opendir", errno, subject: path) }
    defer { closedir(directory) }
    var names: [String] = []
    while let entry = Glibc.readdir(directory) {
      let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
        String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
      }
      if !name.hasPrefix("."), [".conflist", ".conf", ".json"].contains(where: name.hasSuffix) { names.append(name) }
    }
    return names
  }
}
