import GRPCCore
import Glibc
import LinuxSystem

extension CgroupSetting {
  /// Writes it. INVALID_ARGUMENT for what the kernel refuses as a value or does not know; blocks.
  func apply(to cgroup: Cgroup) throws {
    do {
      try cgroup.write(file, value)
    } catch let error as SystemError where error.number == ENOENT && allowsNothing {
      // A page size that the guest has not: nobody can have pages of it.
    } catch let error as SystemError where [EINVAL, ERANGE, ENOENT, EACCES, EPERM].contains(error.number) {
      throw invalid("\(file) can't be set to \(shown): \(why(error))")
    } catch {
      throw RPCError(code: .failedPrecondition, message: "\(file) can't be set to \(shown): \(error)")
    }
  }

  /// The kubelet names every page size of the node, with a limit of 0 where the container asks for none.
  private var allowsNothing: Bool { file.hasPrefix("hugetlb.") && value == "0" }
  private var shown: String { String(value.prefix(64).filter { !$0.isNewline }) }

  private func why(_ error: SystemError) -> String {
    switch error.number {
    case ENOENT where file.hasPrefix("hugetlb."): "the guest's kernel has no pages of that size"
    case ENOENT: "the guest's kernel has no such file"
    case EACCES, EPERM: "it can't be written"
    default: "the kernel takes no such value"
    }
  }
}

/// Writes all settings, or on failure none.
func apply(_ settings: [CgroupSetting], to cgroup: Cgroup) throws {
  var before: [CgroupSetting] = []
  do {
    for setting in settings {
      let value = (try? cgroup.read(setting.file)) ?? ""
      if value.drop(while: \.isWhitespace) == setting.value.drop(while: \.isWhitespace) + "\n" { continue }
      try setting.apply(to: cgroup)
      before.append(CgroupSetting(file: setting.file, value: value.isEmpty ? "\n" : value))
    }
  } catch {
    for setting in before.reversed() { try? cgroup.write(setting.file, setting.value) }
    throw error
  }
}

extension Pod {
  /// Lets the kernel make as many huge pages as the containers' limits allow together; of itself it makes
  /// none. `settings` are those of a container that isn't among the pod's yet, or has changed.
  func allowHugePages(_ settings: [CgroupSetting]) throws {
    for setting in settings where setting.file.hasPrefix("hugetlb.") {
      let size = setting.file.dropFirst("hugetlb.".count).dropLast(".max".count)
      guard let limit = UInt64(setting.value), limit > 0, let kilobytes = kilobytes(size) else { continue }
      let others = allContainers().compactMap { try? $0.cgroup.read(setting.file) }
        .compactMap { UInt64($0.prefix { $0 != "\n" }) }
      let bytes = others.reduce(limit) { $0.addingReportingOverflow($1).partialValue }
      let directory = "/sys/kernel/mm/hugepages/hugepages-\(kilobytes)kB"
      try writeFile("\(directory)/nr_overcommit_hugepages", Array("\(min(bytes, 1 << 50) / kilobytes >> 10)".utf8))
    }
  }

  /// "2MB", as the hugetlb controller names its files.
  private func kilobytes(_ size: Substring) -> UInt64? {
    guard let number = UInt64(size.dropLast(2)), (1...1024).contains(number) else { return nil }
    switch size.suffix(2) {
    case "KB": return number
    case "MB": return number << 10
    case "GB": return number << 20
    default: return nil
    }
  }
}
