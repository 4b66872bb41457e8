import BulkheadConfiguration
import CRIServer
import PodNetwork

extension Daemon {
  func networkSettings() -> NodeNetwork.Settings {
    NodeNetwork.Settings(
      configurationDirectory: settings.network.cniConfigurationDirectory,
      pluginDirectories: settings.network.cniBinaryDirectories, maximumNetworks: settings.network.maximumNetworks,
      isRequired: settings.network.required, pluginDeadline: settings.network.pluginTimeout)
  }
}

extension RuntimeNetworkStatus {
  init(_ readiness: NodeNetwork.Readiness) {
    switch readiness {
    case .ready(let remarks):
      self.init(ready: true, reason: "", message: remarks.joined(separator: "; "))
    case .notReady(let why):
      self.init(ready: false, reason: "NetworkPluginNotReady", message: why)
    }
  }
}
