import Foundation
import OCISpec
import Testing

/// Documents as other tools write them.
@Suite struct SpecTests {
  @Test func readsDockersConfiguration() throws {
    let text = """
      {"architecture":"amd64","os":"linux","created":"2024-01-01T00:00:00Z","docker_version":"20.10",
       "container_config":{"Hostname":"x"},"history":[{"created_by":"/bin/sh"}],
       "config":{"User":"1000:1000","Env":["A=b"],"Entrypoint":null,"Cmd":["sh","-c","true"],"WorkingDir":"/w",
         "StopSignal":"SIGQUIT","Volumes":{"/data":{}},"ExposedPorts":{"80/tcp":{}},"Labels":null,"OnBuild":null},
       "rootfs":{"type":"layers","diff_ids":["sha256:00"]}}
      """
    let configuration = try JSONDecoder().decode(ImageConfiguration.self, from: Data(text.utf8))
    #expect(configuration.config?.user == "1000:1000")
    #expect(configuration.config?.entrypoint == nil)
    #expect(configuration.config?.cmd == ["sh", "-c", "true"])
    #expect(configuration.config?.volumes?.keys.sorted() == ["/data"])
    #expect(configuration.rootfs.diffIDs == ["sha256:00"])
    let again = try JSONDecoder().decode(ImageConfiguration.self, from: try JSONEncoder().encode(configuration))
    #expect(again == configuration)
  }

  @Test func readsAConfigurationWithoutDefaults() throws {
    for config in ["", #""config":null,"#] {
      let text = #"{\#(config)"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":[]}}"#
      #expect(try JSONDecoder().decode(ImageConfiguration.self, from: Data(text.utf8)).config == nil)
    }
  }

  @Test func readsManifestsAndIndexes() throws {
    let manifest = """
      {"schemaVersion":2,"mediaType":"\(MediaType.dockerManifest)",
       "config":{"mediaType":"\(MediaType.dockerConfig)","size":7,"digest":"sha256:11"},
       "layers":[{"mediaType":"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip","size":9,"digest":"sha256:22",
         "urls":["https://example.test/layer"]}]}
      """
    let image = try JSONDecoder().decode(Manifest.self, from: Data(manifest.utf8))
    #expect(image.layers.first?.urls == ["https://example.test/layer"])
    #expect(LayerMediaType(image.layers[0].mediaType ?? "")?.isForeign == true)
    let index = """
      {"schemaVersion":2,"manifests":[{"mediaType":"\(MediaType.manifest)","size":1,"digest":"sha256:33",
        "platform":{"architecture":"arm64","os":"linux","variant":"v8","os.version":"1"},"annotations":{"a":"b"}}]}
      """
    let list = try JSONDecoder().decode(Index.self, from: Data(index.utf8))
    #expect(list.manifests.first?.platform == Platform(architecture: "arm64", os: "linux", variant: "v8"))
  }

  @Test func knowsTheLayerTypes() {
    #expect(LayerMediaType("application/vnd.oci.image.layer.v1.tar+zstd")?.packing == .zstd)
    #expect(LayerMediaType("application/vnd.docker.image.rootfs.diff.tar.gzip")?.packing == .gzip)
    #expect(LayerMediaType("application/vnd.oci.image.layer.v1.tar")?.packing == .plain)
    #expect(LayerMediaType("application/vnd.oci.image.layer.v1.tar+encrypted") == nil)
    #expect(LayerMediaType("text/plain") == nil)
  }
}
