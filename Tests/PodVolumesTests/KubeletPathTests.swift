import PodVolumes
import Testing

@Suite struct KubeletPathTests {
  @Test(arguments: [
    ("configmap", KubeletPath.Plugin.configMap), ("secret", .secret), ("projected", .projected),
    ("downward-api", .downwardAPI), ("empty-dir", .emptyDir), ("csi", .other),
  ])
  func aVolumesOwnDirectory(name: String, plugin: KubeletPath.Plugin) throws {
    let path = try #require(KubeletPath("/var/lib/kubelet/pods/uid-1/volumes/kubernetes.io~\(name)/vol"))
    #expect(path.plugin == plugin && path.podUID == "uid-1")
  }

  @Test(arguments: [
    "/var/lib/kubelet/pods/u/volumes/kubernetes.io~configmap",
    "/var/lib/kubelet/pods/u/volumes/kubernetes.io~secret/v/below",
    "/var/lib/kubelet/pods/u/volume-subpaths/v/c/0", "/pods", "/", "", "pods/u/volumes/kubernetes.io~secret/v",
    "/var/lib/kubelet/pods/u/etc-hosts",
  ])
  func whatIsNoVolumesOwnDirectory(path: String) { #expect(KubeletPath(path) == nil) }

  @Test func onlyTheAtomicWritersAreFollowed() {
    func follows(_ name: String) -> Bool? {
      KubeletPath("/pods/u/volumes/kubernetes.io~\(name)/v")?.isWrittenAtomically
    }
    #expect(follows("configmap") == true && follows("empty-dir") == false && follows("nfs") == false)
  }
}
