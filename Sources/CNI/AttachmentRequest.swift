import Common
import Glibc

/// Which interface of which pod a call is about, the same for ADD, CHECK and DEL.
public struct AttachmentRequest: Sendable, Codable, Equatable {
  public var containerID: String
  /// The path that the pod's network namespace is mounted on.
  public var namespace: String
  /// What the interface is called inside.
  public var interface: String
  /// CNI_ARGS.
  public var arguments: String
  /// By capability; each plugin gets those that it declares.
  public var capabilities: [String: JSONValue]

  /// `pod` names it as Kubernetes does. Throws `invalidArgument` where a name can't be told to a plugin.
  public init(
    containerID: String, namespace: String, interface: String,
    pod: (namespace: String, name: String, uid: String), capabilities: [String: JSONValue]
  ) throws(BulkheadError) {
    for name in [pod.namespace, pod.name, pod.uid] where name.contains(";") {
      throw BulkheadError(
        .invalidArgument,
        "the pod's name \(printable(name, limit: 64)) has a semicolon, which ends an argument of CNI's")
    }
    self.containerID = containerID
    self.namespace = namespace
    self.interface = interface
    self.capabilities = capabilities
    arguments = [
      "IgnoreUnknown=1", "K8S_POD_NAMESPACE=\(pod.namespace)", "K8S_POD_NAME=\(pod.name)",
      "K8S_POD_INFRA_CONTAINER_ID=\(containerID)", "K8S_POD_UID=\(pod.uid)",
    ].joined(separator: ";")
  }

  /// Empty once it is gone, after a reboot for instance: plugins then release what they know without it.
  var presentNamespace: String { access(namespace, F_OK) == 0 ? namespace : "" }
}
