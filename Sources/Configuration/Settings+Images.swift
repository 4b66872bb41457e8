import Common

extension Setting {
  static let images: [Setting] = [
    .value(
      "images", "certs_dir", \.images.certsDirectory, .path(),
      "Registries' hosts.toml and certificates, one directory a registry, laid out as containerd's certs.d."),
    .value(
      "images", "max_layer_bytes", \.images.maxLayerBytes,
      .size(ByteCount.mebibytes(1)...ByteCount.gibibytes(16384)),
      "A layer that is larger than this when unpacked is refused."),
    .value(
      "images", "max_layer_entries", \.images.maxLayerEntries, .integer(1...100_000_000),
      "A layer with more files than this is refused, and an image whose layers have four times as many together."),
    .value(
      "images", "parallel_layers", \.images.parallelLayers, .integer(1...32), "How many layers are pulled at a time."),
    .value(
      "images", "unpack_uid", \.images.unpackUID, .integer(1...4_294_967_294),
      "The user that decodes layers. It owns no file and may be anyone but root; the default is nobody."),
    .value("images", "unpack_gid", \.images.unpackGID, .integer(1...4_294_967_294), "And its group."),
    .value(
      "images", "pull_idle_timeout", \.images.pullIdleTimeout, .duration(1000...3_600_000),
      "A download that brings nothing for this long is begun again, and given up after some attempts."),
    .value("images", "pinned", \.images.pinned, .texts(), "Names of images that are never removed."),
  ]
}
