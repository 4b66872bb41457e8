/// What the command line says. Parsed by hand: this process is to stay small.
struct Arguments: Equatable {
  var vhostSocket: String
  var vsockSocket: String
  var guestCID: UInt32
  var uid: UInt32
  var gid: UInt32
  /// Who may connect to the vhost socket: the VM's user unless said otherwise.
  var socketUID: UInt32

  enum Parsed: Equatable {
    case run(Arguments)
    case help
    case version
    /// What is wrong, for standard error.
    case invalid(String)
  }

  static let help = """
    usage: bulkhead-vsock --vhost-socket PATH --vsock-socket PATH --guest-cid N --uid N --gid N [--socket-uid N]

    A vhost-user-vsock device for one VM: QEMU connects to the vhost socket, clients on this host to the
    vsock socket, where "CONNECT <port>\\n" reaches that port of the guest and is answered by
    "OK <host port>\\n" or "ERR <reason>\\n". Ends when QEMU does, or if QEMU has not come after 60 s.

      --vhost-socket PATH   where QEMU connects; made with mode 0600 for the user --socket-uid
      --vsock-socket PATH   where clients connect; made with mode 0600 for the caller, in a directory of its own
      --guest-cid N         the guest's context id, 3 to 4294967294
      --uid N, --gid N      the user and group to run as; not root
      --socket-uid N        the user that QEMU runs as, if not --uid
      --help, --version
    """

  static func parse(_ words: [String]) -> Parsed {
    var values: [String: String] = [:]
    let known = ["--vhost-socket", "--vsock-socket", "--guest-cid", "--uid", "--gid", "--socket-uid"]
    var rest = words[...]
    while let word = rest.popFirst() {
      if word == "--help" || word == "-h" { return .help }
      if word == "--version" { return .version }
      let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      let name = String(parts[0])
      guard known.contains(name) else { return .invalid("unknown argument \(word)") }
      guard let value = parts.count == 2 ? String(parts[1]) : rest.popFirst(), !value.isEmpty else {
        return .invalid("\(name) needs a value")
      }
      guard values.updateValue(value, forKey: name) == nil else { return .invalid("\(name) is given twice") }
    }
    do {
      return .run(try Arguments(values))
    } catch {
      return .invalid(error.description)
    }
  }

  private struct Invalid: Error { var description: String }

  private init(_ values: [String: String]) throws(Invalid) {
    func text(_ name: String) throws(Invalid) -> String {
      guard let value = values[name] else { throw Invalid(description: "\(name) is missing") }
      return value
    }
    func number(_ name: String, _ range: ClosedRange<UInt32>) throws(Invalid) -> UInt32 {
      let value = try text(name)
      guard let number = UInt32(value), range.contains(number) else {
        throw Invalid(
          description: "\(name) must be a number from \(range.lowerBound) to \(range.upperBound), not \(value)")
      }
      return number
    }
    vhostSocket = try text("--vhost-socket")
    vsockSocket = try text("--vsock-socket")
    // 0 to 2 and VMADDR_CID_ANY are reserved (virtio 1.2, 5.10.4); user and group -1 mean "no change".
    guestCID = try number("--guest-cid", 3...(.max - 1))
    uid = try number("--uid", 1...(.max - 1))
    gid = try number("--gid", 1...(.max - 1))
    socketUID = values["--socket-uid"] == nil ? uid : try number("--socket-uid", 0...(.max - 1))
  }
}
