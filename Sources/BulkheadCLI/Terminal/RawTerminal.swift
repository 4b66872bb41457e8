import Glibc
import Synchronization

/// The user's terminal while a remote one is shown on it: every key goes through, nothing is echoed here.
///
/// It has to be as it was whatever happens, so the settings are kept where the end of the process finds them too.
public enum RawTerminal {
  private struct Saved {
    var descriptor: Int32
    var settings: termios
  }
  private static let saved = Mutex<Saved?>(nil)

  /// Until `restore`. A descriptor that is no terminal stays as it is.
  static func enter(_ descriptor: Int32) {
    var settings = termios()
    guard tcgetattr(descriptor, &settings) == 0 else { return }
    saved.withLock { $0 = Saved(descriptor: descriptor, settings: settings) }
    cfmakeraw(&settings)
    // Not TCSAFLUSH: what was typed already is the program's.
    tcsetattr(descriptor, TCSADRAIN, &settings)
  }

  /// As it was before; for every way out of the process that is not a return.
  public static func restore() {
    guard var saved = saved.withLock({ $0.take() }) else { return }
    tcsetattr(saved.descriptor, TCSADRAIN, &saved.settings)
  }

  /// Columns and rows; nil for what is no terminal.
  static func size(of descriptor: Int32) -> (columns: UInt32, rows: UInt32)? {
    var size = winsize()
    guard ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return nil }
    return (UInt32(size.ws_col), UInt32(size.ws_row))
  }
}
