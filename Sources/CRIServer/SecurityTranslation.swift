import CRI
import Common
import Pods

/// The security context's choices, checked. What the guest's kernel can't do is refused where it is asked
/// for by name, never ignored.
enum SecurityTranslation {
  // MARK: - Users

  static func user(
    _ security: Runtime_V1_LinuxContainerSecurityContext
  ) throws(BulkheadError) -> ContainerConfiguration.UserChoice {
    var gid: UInt32?
    if security.hasRunAsGroup { gid = try Validation.userID(security.runAsGroup.value, "run_as_group") }
    if security.hasRunAsUser {
      guard security.runAsUsername.isEmpty else {
        throw Validation.invalid("run_as_username", "is set, and run_as_user too: a container has one user")
      }
      return .id(uid: try Validation.userID(security.runAsUser.value, "run_as_user"), gid: gid)
    }
    if !security.runAsUsername.isEmpty {
      return .name(try Validation.name(security.runAsUsername, "run_as_username"), gid: gid)
    }
    if gid != nil { throw Validation.invalid("run_as_group", "needs run_as_user or run_as_username beside it") }
    return .image
  }

  static func groups(_ groups: [Int64]) throws(BulkheadError) -> [UInt32] {
    var result: [UInt32] = []
    for group in groups { result.append(try Validation.userID(group, "supplemental_groups")) }
    return result
  }

  static func mergesImageGroups(
    _ policy: Runtime_V1_SupplementalGroupsPolicy
  ) throws(BulkheadError) -> Bool {
    switch policy {
    case .merge: true
    case .strict: false
    case .UNRECOGNIZED(let value): throw Validation.invalid("supplemental_groups_policy", "is unknown: \(value)")
    }
  }

  // MARK: - Paths

  /// An empty list is what the kubelet sends for `procMount: Unmasked`, and can't be told from none: as in
  /// containerd it means that nothing is masked. Kubelets name the paths otherwise.
  static func paths(_ paths: [String], _ field: String) throws(BulkheadError) -> [String] {
    var result: [String] = []
    for path in paths {
      guard !path.isEmpty else { throw Validation.invalid(field, "has an empty path") }
      result.append(try Validation.absolutePath(path, field))
    }
    return result
  }

  // MARK: - Profiles

  /// The profile, or what the field that it replaced says (Kubernetes before 1.19).
  static func seccomp(
    _ security: Runtime_V1_LinuxContainerSecurityContext
  ) throws(BulkheadError) -> ContainerConfiguration.SeccompChoice {
    guard security.hasSeccomp else { return try seccomp(deprecated: security.seccompProfilePath) }
    switch security.seccomp.profileType {
    case .runtimeDefault: return .runtimeDefault
    case .unconfined: return .unconfined
    case .localhost: return try localhost(security.seccomp.localhostRef, "seccomp.localhost_ref")
    case .UNRECOGNIZED(let value): throw Validation.invalid("seccomp.profile_type", "is unknown: \(value)")
    }
  }

  private static func seccomp(
    deprecated text: String
  ) throws(BulkheadError) -> ContainerConfiguration.SeccompChoice {
    switch text {
    case "", "unconfined": return .unconfined
    case "runtime/default", "docker/default": return .runtimeDefault
    case _ where text.hasPrefix(localhostPrefix): return try localhost(text, "seccomp_profile_path")
    default: throw Validation.invalid("seccomp_profile_path", "is unknown: \(printable(text, limit: 128))")
    }
  }

  private static func localhost(
    _ reference: String, _ field: String
  ) throws(BulkheadError) -> ContainerConfiguration.SeccompChoice {
    // Clients of the field's first days wrote the prefix here too.
    let path = reference.hasPrefix(localhostPrefix) ? String(reference.dropFirst(localhostPrefix.count)) : reference
    guard !path.isEmpty else { throw Validation.invalid(field, "names no profile") }
    return .localhost(try Validation.absolutePath(path, field))
  }

  private static let localhostPrefix = "localhost/"

  /// RuntimeDefault asks for what the runtime has, which here is nothing: containerd takes it on nodes
  /// without AppArmor, too.
  static func refuseAppArmor(_ profile: Runtime_V1_SecurityProfile?, deprecated: String) throws(BulkheadError) {
    let isNamed: Bool
    switch profile?.profileType {
    case .runtimeDefault?, .unconfined?: isNamed = false
    case .localhost?: isNamed = true
    case .UNRECOGNIZED(let value)?: throw Validation.invalid("apparmor.profile_type", "is unknown: \(value)")
    case nil: isNamed = !["", "runtime/default", "unconfined"].contains(deprecated)
    }
    guard isNamed else { return }
    throw BulkheadError(
      .invalidArgument,
      "AppArmor profiles of the node can't be applied: the container runs on the kernel of its virtual machine, which has no AppArmor; remove appArmorProfile from the pod, or run it with another runtime class"
    )
  }

  static func refuseSELinux(_ options: Runtime_V1_SELinuxOption) throws(BulkheadError) {
    guard [options.user, options.role, options.type, options.level].allSatisfy(\.isEmpty) else {
      throw BulkheadError(
        .invalidArgument,
        "SELinux labels can't be applied: the container runs on the kernel of its virtual machine, which has no SELinux; remove seLinuxOptions from the pod, or run it with another runtime class"
      )
    }
  }

  // MARK: - Namespaces

  static func refuseForeignNamespaces(_ options: Runtime_V1_NamespaceOption) throws(BulkheadError) {
    switch options.network {
    case .pod: break
    case .node:
      throw BulkheadError(
        .invalidArgument,
        "a pod in a virtual machine can't share the node's network (hostNetwork): run this pod with another runtime class"
      )
    case .container, .target, .UNRECOGNIZED: throw Validation.invalid("namespace_options.network", "must be POD")
    }
    guard options.hasUsernsOptions else { return }
    let user = options.usernsOptions
    guard user.mode == .node, user.uids.isEmpty, user.gids.isEmpty else {
      throw BulkheadError(
        .invalidArgument,
        "user namespaces are not supported: leave hostUsers unset. The pod's virtual machine keeps its root from being the node's"
      )
    }
  }
}
