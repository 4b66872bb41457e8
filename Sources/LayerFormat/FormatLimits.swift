/// What Linux takes, and so what a layer may ask for; more is refused where it is read.
public enum FormatLimits {
  /// Bytes of a whole path, and of a hard link's target (PATH_MAX with its NUL).
  public static let path = 4095
  /// Bytes of one component (NAME_MAX).
  public static let name = 255
  /// Bytes of a symbolic link's target: one page with its NUL.
  public static let symlinkTarget = 4095
  /// Bytes of an attribute's name with its prefix (XATTR_NAME_MAX).
  public static let xattrName = 255
  /// Bytes of one attribute's value: EROFS counts them in 16 bits.
  public static let xattrValue = 65535
  /// Bytes of all attributes of one entry, names and values (XATTR_LIST_MAX).
  public static let xattrTotal = 65536
  /// 12 and 20 bits: what the kernel's dev_t holds.
  public static let deviceMajor: UInt32 = 0xfff
  public static let deviceMinor: UInt32 = 0xfffff
  /// Contents begin at multiples of it in the data blob: a block of the image's EROFS.
  public static let blockSize = 4096
}
