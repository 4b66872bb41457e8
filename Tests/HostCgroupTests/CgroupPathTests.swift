import Common
import Foundation
import Testing

@testable import HostCgroup

@Suite struct CgroupPathTests {
  private let pod = PodID.random()

  @Test func aPathIsTakenAsItIs() throws {
    #expect(
      try CgroupPath(parent: "/kubepods/burstable/pod1-2", pod: pod).text
        == "/kubepods/burstable/pod1-2/bulkhead-\(pod)")
    #expect(try CgroupPath(parent: "/", pod: pod).text == "/bulkhead-\(pod)")
  }

  @Test func aSliceIsWhereItsNameSays() throws {
    #expect(
      try CgroupPath(parent: "kubepods-burstable-pod1_2.slice", pod: pod).text
        == "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice/bulkhead-\(pod).scope")
    #expect(
      try CgroupPath(parent: "/kubepods.slice/kubepods-pod1.slice", pod: pod).text
        == "/kubepods.slice/kubepods-pod1.slice/bulkhead-\(pod).scope")
    #expect(try CgroupPath(parent: "-.slice", pod: pod).text == "/bulkhead-\(pod).scope")
  }

  @Test(arguments: [
    "/a/../b", "..", "a/./b", "/a\nb", "a--b.slice", "-a.slice", "/a\0b", "/" + String(repeating: "x", count: 256),
  ])
  func nothingElse(_ parent: String) {
    #expect(throws: BulkheadError.self) { try CgroupPath(parent: parent, pod: pod) }
  }

  @Test func pathsSurviveTheDatabase() throws {
    let path = try CgroupPath(parent: "/kubepods/x", pod: pod)
    #expect(try JSONDecoder().decode(CgroupPath.self, from: JSONEncoder().encode(path)) == path)
    #expect(throws: (any Error).self) { try JSONDecoder().decode(CgroupPath.self, from: Data(#""/../etc""#.utf8)) }
  }

  @Test func hierarchiesOfVersionOneTwoAndBoth() {
    let two = "25 1 0:22 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
    #expect(CgroupHierarchy.all(mountinfo: two) == [CgroupHierarchy(mountPoint: "/sys/fs/cgroup", controllers: [])])
    let both = """
      31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
      32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
      33 31 0:29 / /mnt/again rw - cgroup cgroup rw,cpu,cpuacct
      34 31 0:30 /docker/1 /mnt/part rw - cgroup cgroup rw,memory
      35 31 0:31 / /mnt/a\\040b rw - cgroup2 cgroup2 rw
      """
    #expect(
      CgroupHierarchy.all(mountinfo: both) == [
        CgroupHierarchy(mountPoint: "/sys/fs/cgroup/cpu,cpuacct", controllers: ["cpu", "cpuacct"]),
        CgroupHierarchy(mountPoint: "/mnt/a b", controllers: []),
      ])
  }

  @Test func theDriverIsSystemdWhereSystemdRuns() {
    #expect(CgroupDriver.detect(systemdDirectory: "/nonexistent") == .cgroupfs)
    #expect(CgroupDriver.detect(systemdDirectory: "/tmp") == .systemd)
  }
}
