import Testing

@testable import ContainerInit

struct UserDatabaseTests {
  private let database = UserDatabase(
    passwd: Array(
      """
      root:x:0:0:root:/root:/bin/sh
      nonsense
      half:x:7
      app:x:1000:1001:an app:/home/app:/bin/sh
      1000:x:5000:5001::/home/digits:/bin/sh
      huge:x:99999999999:1::/:
      relative:x:9:9::home:
      """.utf8),
    group: Array("root:x:0:\nwheel:x:10:root,app\napp:x:1001:\nextra:x:2000:bpp,app,cpp\nbad:x:no:app\n".utf8))

  private func plan(_ name: String) -> UserPlan {
    var plan = UserPlan()
    plan.name = Array(name.utf8)
    return plan
  }

  @Test(arguments: [
    ("", 0, 0, "/root"), ("root", 0, 0, "/root"), ("app", 1000, 1001, "/home/app"),
    ("app:extra", 1000, 2000, "/home/app"),
    ("app:77", 1000, 77, "/home/app"), ("4000", 4000, 0, "/"), ("4000:4001", 4000, 4001, "/"),
    // A name of digits wins over the number.
    ("1000", 5000, 5001, "/home/digits"), ("relative", 9, 9, "/"),
  ])
  func namesAndNumbers(_ name: String, uid: UInt32, gid: UInt32, home: String) throws {
    let identity = try database.resolve(plan(name))
    #expect(identity.uid == uid)
    #expect(identity.gid == gid)
    #expect(identity.home == Array(home.utf8))
    #expect(identity.groups == [gid])
  }

  @Test(arguments: [
    "nobody", "app:nogroup", "huge", "half", "-1", "2147483648", "4294967294", "4294967295", "99999999999",
    "app:2147483648",
  ])
  func whatIsNotThereIsAnError(_ name: String) {
    #expect(throws: UserDatabase.LookupError.self) { try database.resolve(plan(name)) }
  }

  @Test func groupsOfTheImageAndOfTheRequest() throws {
    var plan = plan("app")
    plan.imageGroups = true
    plan.additionalGroups = [3000, 10, 3000]
    #expect(try database.resolve(plan).groups == [1001, 3000, 10, 2000])
    plan.imageGroups = false
    #expect(try database.resolve(plan).groups == [1001, 3000, 10])
  }

  @Test func aNumberInTheRequestWinsOverTheName() throws {
    var plan = plan("app")
    plan.uid = 5000
    #expect(try database.resolve(plan).gid == 5001)
    plan.gid = 6
    #expect(try database.resolve(plan).gid == 6)
  }

  @Test func hostileFilesCostNothing() throws {
    var plan = plan("x")
    plan.imageGroups = true
    let colons = [UInt8](repeating: UInt8(ascii: ":"), count: 1 << 20)
    let lines = [UInt8](repeating: UInt8(ascii: "\n"), count: 1 << 20)
    for bytes in [colons, lines, Array("x:x:1:1::/:\n".utf8) + [0xff, 0, 0xfe]] {
      _ = try? UserDatabase(passwd: bytes, group: bytes).resolve(plan)
    }
    let many = (0..<5000).map { "g\($0):x:\($0 + 10):x\n" }.joined()
    let database = UserDatabase(passwd: Array("x:x:1:1::/:\n".utf8), group: Array(many.utf8))
    #expect(throws: UserDatabase.LookupError.self) { try database.resolve(plan) }
  }
}
