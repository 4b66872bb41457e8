import Synchronization

/// Counts sessions, so that there are never more than a maximum.
final class SessionSlots: Sendable {
  let maximum: Int
  private let taken = Mutex(0)

  init(maximum: Int) { self.maximum = maximum }

  var count: Int { taken.withLock { $0 } }

  /// Nil where all are taken.
  func take() -> SessionSlot? {
    let isFree = taken.withLock { taken in
      guard taken < maximum else { return false }
      taken += 1
      return true
    }
    return isFree ? SessionSlot(of: self) : nil
  }

  fileprivate func giveBack() { taken.withLock { $0 -= 1 } }
}

/// A session's place. Given back at the session's end; or, where there never was a session because the
/// client left during the upgrade, when nobody holds it any more.
final class SessionSlot: Sendable {
  private let slots: SessionSlots
  private let isHeld = Mutex(true)

  fileprivate init(of slots: SessionSlots) { self.slots = slots }

  deinit { giveBack() }

  func giveBack() {
    let wasHeld = isHeld.withLock { held in
      defer { held = false }
      return held
    }
    if wasHeld { slots.giveBack() }
  }
}
