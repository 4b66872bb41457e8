import CLibvirt
import Common

#if canImport(Glibc)
  import Glibc
#endif

/// A connection to libvirt, with its errors as ours. Every call blocks: make it from a thread of its
/// own. Any thread may make any call at any time (libvirt's own promise), which
/// is why it is unchecked.
final class LibvirtConnection: @unchecked Sendable {
  // libvirt's connection objects are thread-safe and counted by reference.
  private let pointer: OpaquePointer
  private let events: Int32

  /// Why libvirt says that a domain stopped.
  enum StopReason: Sendable, Equatable {
    case shutdown, destroyed, panicked, failed
  }

  private final class Listener: Sendable {
    let onStopped: @Sendable (_ domain: String, StopReason) -> Void
    init(_ onStopped: @escaping @Sendable (_ domain: String, StopReason) -> Void) { self.onStopped = onStopped }
  }

  /// Opens it, and tells `onStopped` of every domain that stops from then on, on the thread that runs
  /// libvirt's events: it must not block.
  init(
    uri: String, onStopped: @escaping @Sendable (_ domain: String, StopReason) -> Void
  ) throws(BulkheadError) {
    try LibvirtEvents.run()
    guard let pointer = virConnectOpen(uri) else { throw lastLibvirtError("opening \(uri)") }
    let callback: virConnectDomainEventCallback = { _, domain, event, detail, opaque in
      guard let opaque, let domain, let reason = StopReason(event: event, detail: detail) else { return 0 }
      let listener = Unmanaged<Listener>.fromOpaque(opaque).takeUnretainedValue()
      if let name = virDomainGetName(domain) { listener.onStopped(String(cString: name), reason) }
      return 0
    }
    let listener = Unmanaged.passRetained(Listener(onStopped))
    events = bh_register_lifecycle(pointer, callback, listener.toOpaque()) { opaque in
      if let opaque { Unmanaged<Listener>.fromOpaque(opaque).release() }
    }
    guard events >= 0 else {
      let error = lastLibvirtError("registering for events of \(uri)")
      listener.release()
      virConnectClose(pointer)
      throw error
    }
    self.pointer = pointer
  }

  deinit {
    virConnectDomainEventDeregisterAny(pointer, events)
    virConnectClose(pointer)
  }

  /// Makes libvirt find out what this emulator can do, which is kept in libvirt's cache.
  ///
  /// With `hiddenKVM`, without /dev/kvm, which the calling thread does not see from then on.
  func probe(emulator: String, platform: GuestPlatform, hiddenKVM: HiddenKVM?) throws {
    try hiddenKVM?.hide()
    try OrphanReaper.reaping {
      guard
        let answer = virConnectGetDomainCapabilities(
          pointer, emulator, platform.architecture, platform.machine, nil, 0)
      else { throw lastLibvirtError("probing \(emulator)") }
      free(answer)
    }
  }

  /// Starts a transient domain on the calling thread, in the calling thread's network namespace.
  func create(_ xml: String, paused: Bool = false) throws -> LibvirtDomain {
    let flags = paused ? UInt32(VIR_DOMAIN_START_PAUSED.rawValue) : 0
    return try OrphanReaper.reaping {
      guard let domain = virDomainCreateXML(pointer, xml, flags) else { throw lastLibvirtError("starting the machine") }
      return LibvirtDomain(owning: domain)
    }
  }

  /// Nil if no domain of this name runs.
  func find(_ name: String) throws(BulkheadError) -> LibvirtDomain? {
    if let domain = virDomainLookupByName(pointer, name) { return LibvirtDomain(owning: domain) }
    let error = lastLibvirtError("looking for the machine \(name)")
    if error.code == .notFound { return nil }
    throw error
  }
}

/// A domain of libvirt's. Every call blocks. Unchecked, as its pointer never changes and libvirt takes calls
/// on it from any thread.
final class LibvirtDomain: @unchecked Sendable {
  // libvirt's domain objects are thread-safe and counted by reference.
  private let pointer: OpaquePointer

  fileprivate init(owning pointer: OpaquePointer) { self.pointer = pointer }
  deinit { virDomainFree(pointer) }

  func attach(_ xml: String) throws {
    try OrphanReaper.reaping {
      guard virDomainAttachDevice(pointer, xml) == 0 else { throw lastLibvirtError("plugging in a device") }
    }
  }

  /// Whether a share with this tag is plugged in.
  func hasShare(tag: String) throws(BulkheadError) -> Bool {
    guard let text = virDomainGetXMLDesc(pointer, 0) else { throw lastLibvirtError("describing the machine") }
    defer { free(text) }
    return String(cString: text).contains("<target dir='\(tag)'/>")
  }

  /// Ends it without asking the guest. One that has ended already is no failure.
  func destroy() throws {
    try OrphanReaper.reaping {
      guard virDomainDestroy(pointer) == 0 else {
        let error = lastLibvirtError("ending the machine")
        if error.code == .notFound || error.code == .failedPrecondition { return }
        throw error
      }
    }
  }
}

extension LibvirtConnection.StopReason {
  /// Nil for events other than a stop.
  fileprivate init?(event: Int32, detail: Int32) {
    guard event == Int32(VIR_DOMAIN_EVENT_STOPPED.rawValue) else { return nil }
    switch detail {
    case Int32(VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN.rawValue): self = .shutdown
    case Int32(VIR_DOMAIN_EVENT_STOPPED_DESTROYED.rawValue): self = .destroyed
    case Int32(VIR_DOMAIN_EVENT_STOPPED_CRASHED.rawValue): self = .panicked
    default: self = .failed
    }
  }
}

/// What libvirt says of the last failed call of this thread.
func lastLibvirtError(_ doing: String) -> BulkheadError {
  guard let error = virGetLastError() else { return BulkheadError(.internalError, "\(doing): libvirt gave no reason") }
  let text = error.pointee.message.map { printable(String(cString: $0), limit: 2048) } ?? "no message"
  let code: BulkheadError.Code =
    switch virErrorNumber(UInt32(error.pointee.code)) {
    case VIR_ERR_NO_DOMAIN: .notFound
    case VIR_ERR_OPERATION_INVALID: .failedPrecondition
    case VIR_ERR_OPERATION_TIMEOUT, VIR_ERR_AGENT_UNRESPONSIVE: .deadlineExceeded
    case VIR_ERR_NO_CONNECT, VIR_ERR_INTERNAL_ERROR, VIR_ERR_SYSTEM_ERROR: .unavailable
    default: .internalError
    }
  return BulkheadError(code, "\(doing): \(text)")
}
