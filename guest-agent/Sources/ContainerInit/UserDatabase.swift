/// The image's /etc/passwd and /etc/group (passwd(5), group(5)), as bytes that anyone may have written:
/// lines that make no sense are passed over, as the C library does.
public struct UserDatabase: Sendable {
  /// What is read of each file at most.
  public static let fileLimit = 4 << 20
  /// NGROUPS_MAX is 65536; no image needs more than this, and the answer has to stay small.
  public static let groupLimit = 4096
  /// The largest user or group that a container runs as: what runc and Kubernetes take. Beyond, programs that
  /// keep ids in an int would see negative ones.
  public static let largestID = UInt32(Int32.max)

  private let passwd: [UInt8]
  private let group: [UInt8]

  public init(passwd: [UInt8], group: [UInt8]) {
    self.passwd = passwd
    self.group = group
  }

  /// The database has no such user or group, or the plan names too many groups.
  public struct LookupError: Error, CustomStringConvertible {
    public let description: String
  }

  /// Who `plan` means. A number that the database doesn't know is as good as one it does, its group then 0.
  public func resolve(_ plan: UserPlan) throws(LookupError) -> Identity {
    let parts = plan.name.split(separator: colon, maxSplits: 1, omittingEmptySubsequences: false)
    let userName = plan.uid == nil ? parts[0] : []
    let groupName = plan.uid == nil && parts.count == 2 ? parts[1] : []

    var identity = Identity()
    let entry: User?
    if let uid = plan.uid {
      entry = user { $0.uid == uid }
      identity.uid = uid
    } else if userName.isEmpty {
      entry = user { $0.uid == 0 }
    } else if let named = user(where: { $0.name == userName }) {
      // A name wins over a number, even one of digits: as the C library's tools have it.
      entry = named
      identity.uid = named.uid
    } else if let uid = number(userName) {
      entry = user { $0.uid == uid }
      identity.uid = uid
    } else {
      throw LookupError(description: "the image's /etc/passwd has no user \"\(shown(userName))\"")
    }
    if let gid = plan.gid {
      identity.gid = gid
    } else {
      identity.gid = try gid(named: groupName) ?? entry?.gid ?? 0
    }
    if let home = entry?.home, home.first == slash { identity.home = Array(home) }
    identity.groups = try groups(plan, of: entry, first: identity.gid)
    if let id = ([identity.uid] + identity.groups).first(where: { $0 > Self.largestID }) {
      throw LookupError(description: "user or group \(id) is above \(Self.largestID)")
    }
    return identity
  }

  private struct User {
    let name: ArraySlice<UInt8>
    let uid: UInt32
    let gid: UInt32
    let home: ArraySlice<UInt8>
  }

  private func user(where matches: (User) -> Bool) -> User? {
    for line in Pieces(passwd[...], separator: newline) {
      let fields = line.split(separator: colon, maxSplits: 7, omittingEmptySubsequences: false)
      guard fields.count >= 6, let uid = number(fields[2]), let gid = number(fields[3]) else { continue }
      let user = User(name: fields[0], uid: uid, gid: gid, home: fields[5])
      if matches(user) { return user }
    }
    return nil
  }

  private func gid(named name: ArraySlice<UInt8>) throws(LookupError) -> UInt32? {
    if name.isEmpty { return nil }
    for line in Pieces(group[...], separator: newline) {
      let fields = line.split(separator: colon, maxSplits: 3, omittingEmptySubsequences: false)
      if fields.count >= 3, fields[0] == name, let gid = number(fields[2]) { return gid }
    }
    if let gid = number(name) { return gid }
    throw LookupError(description: "the image's /etc/group has no group \"\(shown(name))\"")
  }

  private func groups(_ plan: UserPlan, of entry: User?, first: UInt32) throws(LookupError) -> [UInt32] {
    var seen: Set<UInt32> = []
    var groups: [UInt32] = []
    func add(_ gid: UInt32) { if seen.insert(gid).inserted { groups.append(gid) } }

    add(first)
    plan.additionalGroups.forEach(add)
    if plan.imageGroups, let name = entry?.name {
      for line in Pieces(group[...], separator: newline) where groups.count <= Self.groupLimit {
        let fields = line.split(separator: colon, maxSplits: 3, omittingEmptySubsequences: false)
        guard fields.count == 4, let gid = number(fields[2]) else { continue }
        if Pieces(fields[3], separator: UInt8(ascii: ",")).contains(name) { add(gid) }
      }
    }
    guard groups.count <= Self.groupLimit else {
      throw LookupError(description: "the user is in more than \(Self.groupLimit) groups")
    }
    return groups
  }
}

/// A decimal user or group number of Linux; 2^32-1 is not one, as it means "unchanged" to chown(2).
private func number(_ text: ArraySlice<UInt8>) -> UInt32? {
  guard !text.isEmpty, text.count <= 10, text.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
  let value = text.reduce(UInt64(0)) { $0 * 10 + UInt64($1 - 0x30) }
  return value < UInt64(UInt32.max) ? UInt32(value) : nil
}

/// The pieces of `rest` between separators, one at a time: a hostile file of nothing but separators costs
/// no memory.
private struct Pieces: Sequence, IteratorProtocol {
  private var rest: ArraySlice<UInt8>
  private let separator: UInt8

  init(_ bytes: ArraySlice<UInt8>, separator: UInt8) {
    rest = bytes
    self.separator = separator
  }

  mutating func next() -> ArraySlice<UInt8>? {
    guard !rest.isEmpty else { return nil }
    let end = rest.firstIndex(of: separator) ?? rest.endIndex
    defer { rest = rest[Swift.min(end + 1, rest.endIndex)...] }
    return rest[..<end]
  }
}

private let colon = UInt8(ascii: ":")
private let newline = UInt8(ascii: "\n")
