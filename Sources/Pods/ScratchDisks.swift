import CLinux
import Common
import Foundation
import Glibc
import LinuxSystem
import Subprocess

/// The disks that hold pods' writable layers: sparse files with an ext4 that has project quotas (one
/// project a container). It has no journal, since a scratch disk never outlives its pod, and no checksums of
/// its metadata: the kernel writes an inode anew for each page that a file grows by, and would sum it each time.
/// `uninit_bg` keeps the summing of group descriptors, without which mkfs writes every inode table.
///
/// mkfs runs once a size: its result is kept as a template whose data regions are copied for each pod,
/// a few milliseconds' work.
actor ScratchDisks {
  /// Counts up when the options of mkfs change: templates that were made otherwise are used no more.
  private static let generation = 2

  private let directory: String
  private let size: ByteCount
  private var template: Task<String, any Error>?

  /// `directory` must exist and be searchable by the users that VMs run as.
  init(directory: String, size: ByteCount) {
    self.directory = directory
    self.size = size
  }

  /// Makes the disk file at `path`, readable and writable by `owner` alone. It must not exist yet.
  /// Throws `resourceExhausted` where the file system is full.
  func create(at path: String, owner: UInt32) async throws {
    let template = try await templatePath()
    do {
      try await onDedicatedThread { try copySparse(from: template, to: path, owner: owner) }
    } catch {
      unlink(path)
      if let error = error as? SystemError, error.number == ENOSPC {
        throw BulkheadError(
          .resourceExhausted, "no space is left for the pod's scratch disk in \(directory)", cause: error)
      }
      throw BulkheadError(.internalError, "cannot make the pod's scratch disk", cause: error)
    }
  }

  /// Succeeds if the disk is gone already.
  nonisolated func delete(at path: String) throws {
    guard unlink(path) == 0 || errno == ENOENT else { throw SystemError("unlink", errno, subject: path) }
  }

  /// Joins a template that is being made; one that failed is tried again by the next caller.
  func templatePath() async throws -> String {
    if let template { return try await template.value }
    let path = "\(directory)/template-\(Self.generation)-\(size.bytes).ext4"
    let task = Task { [directory, size] in try await Self.makeTemplate(at: path, in: directory, size: size) }
    template = task
    do { return try await task.value } catch {
      template = nil
      throw error
    }
  }

  private static func makeTemplate(at path: String, in directory: String, size: ByteCount) async throws -> String {
    if access(path, F_OK) == 0 { return path }
    // Those of another size, of other options, or half made.
    for name in (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
    where name.hasPrefix("template-") { unlink("\(directory)/\(name)") }
    let temporary = path + ".new"
    let file = try systemCall("open", subject: temporary) {
      open(temporary, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    }
    defer { close(file) }
    try systemCall("ftruncate", subject: temporary) { ftruncate(file, off_t(size.bytes)) }
    let options = [
      "-q", "-F", "-m", "0", "-O", "^has_journal,^metadata_csum,uninit_bg,quota,project",
      "-E", "quotatype=prjquota,lazy_itable_init=1,nodiscard", temporary,
    ]
    let result = try await run(
      .name("mkfs.ext4"), arguments: Arguments(options),
      environment: .inherit.updating(["PATH": "/usr/sbin:/sbin:/usr/bin:/bin"]),
      output: .discarded, error: .string(limit: 4096))
    guard result.terminationStatus.isSuccess else {
      throw BulkheadError(
        .internalError,
        "mkfs.ext4 failed; is e2fsprogs installed? \(printable(result.standardError))")
    }
    try systemCall("fsync", subject: temporary) { fsync(file) }
    try systemCall("rename", subject: path) { rename(temporary, path) }
    return path
  }
}

/// Copies the data regions of a sparse file and leaves its holes holes (lseek(2), SEEK_DATA).
private func copySparse(from source: String, to target: String, owner: UInt32) throws {
  let input = try systemCall("open", subject: source) { open(source, O_RDONLY | O_CLOEXEC) }
  defer { close(input) }
  let output = try systemCall("open", subject: target) { open(target, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600) }
  defer { close(output) }
  let size = try systemCall("lseek", subject: source) { lseek(input, 0, SEEK_END) }
  try systemCall("ftruncate", subject: target) { ftruncate(output, size) }
  var position: off_t = 0
  while position < size {
    let start = bh_seek_data(input, position)
    if start == -1, errno == ENXIO { break }
    guard start >= 0 else { throw SystemError("lseek", errno, subject: source) }
    let end = try systemCall("lseek", subject: source) { bh_seek_hole(input, start) }
    var from = start
    var to = start
    while from < end {
      let copied = try systemCall("copy_file_range", subject: target) {
        bh_copy_file_range(input, &from, output, &to, Int(end - from))
      }
      if copied == 0 { break }
    }
    position = end
  }
  try systemCall("fchown", subject: target) { fchown(output, owner, owner) }
}
