/// What the mount that a source lies in says of it.
extension HostSource {
  /// Whether nothing can be written there anyway.
  public var isReadonly: Bool { has(1) }

  /// Mount options that a bind mount of it keeps.
  public var restrictions: [String] {
    [(2, "nosuid"), (4, "nodev"), (8, "noexec")].compactMap { has($0.0) ? $0.1 : nil }
  }

  /// Whether mounts that are made below it on the host can be seen elsewhere at all.
  public func isPropagated(in table: MountTable) -> Bool {
    table.entry(id: mountID).map { $0.isShared || $0.isSlave } ?? false
  }

  /// ST_RDONLY, ST_NOSUID, ST_NODEV and ST_NOEXEC are 1, 2, 4 and 8 (statfs(2)).
  private func has(_ flag: UInt64) -> Bool { mountFlags & flag != 0 }
}
