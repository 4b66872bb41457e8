import Foundation

/// An OCI image layout of `tars`, base first, as `umoci` reads it; its path with the tag.
func ociLayout(of tars: [[UInt8]], in scratch: Scratch) throws -> String {
  let root = try scratch.directory("oci")
  let blobs = try scratch.directory("oci/blobs/sha256")
  func blob(_ data: Data, _ type: String) throws -> String {
    let digest = try sha256(data)
    try data.write(to: URL(fileURLWithPath: "\(blobs)/\(digest)"))
    return #"{"mediaType":"application/vnd.oci.image.\#(type)","digest":"sha256:\#(digest)","size":\#(data.count)"#
  }
  let layers = try tars.map { try blob(Data($0), "layer.v1.tar") + "}" }
  let ids = try tars.map { "\"sha256:\(try sha256(Data($0)))\"" }
  let config = #"""
    {"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":[\#(ids.joined(separator: ","))]}}
    """#
  let configBlob = try blob(Data(config.utf8), "config.v1+json") + "}"
  let manifest = #"""
    {"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":\#(configBlob),"layers":[\#(layers.joined(separator: ","))]}
    """#
  let entry = try blob(Data(manifest.utf8), "manifest.v1+json")
  let index =
    #"{"schemaVersion":2,"manifests":[\#(entry),"annotations":{"org.opencontainers.image.ref.name":"test"}}]}"#
  try Data(index.utf8).write(to: URL(fileURLWithPath: root + "/index.json"))
  try Data(#"{"imageLayoutVersion":"1.0.0"}"#.utf8).write(to: URL(fileURLWithPath: root + "/oci-layout"))
  return root + ":test"
}

/// By sha256sum, so that the digests under test are compared with another program's.
func sha256(_ data: Data) throws -> String {
  let scratch = try Scratch()
  try data.write(to: URL(fileURLWithPath: scratch.path + "/data"))
  return String(try run("sha256sum", scratch.path + "/data").prefix(64))
}
