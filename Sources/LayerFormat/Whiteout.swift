/// What an entry's name means to the layers below (OCI image specification, layer.md, "Whiteouts").
public enum Whiteout {
  /// An ordinary entry.
  case none
  /// `.wh.NAME`: NAME of the same directory is gone.
  case of(LayerPath)
  /// `.wh..wh..opq`: everything in the directory is gone.
  case opaque(LayerPath)
  /// Another name that AUFS kept for itself, `.wh..wh.plnk` for instance: no part of the image.
  case reserved

  public init(_ path: LayerPath) throws(LayerFormatError) {
    guard let (parent, name) = path.parted else {
      self = .none
      return
    }
    if let reserved = parent.components.first(where: { $0.starts(with: ".wh.".utf8) }) {
      // AUFS's own directories; nothing else can be inside a whiteout.
      guard reserved.starts(with: ".wh..wh.".utf8) else {
        throw LayerFormatError("\(path) is inside a whiteout")
      }
      self = .reserved
      return
    }
    guard name.starts(with: ".wh.".utf8) else {
      self = .none
      return
    }
    if name.elementsEqual(".wh..wh..opq".utf8) {
      self = .opaque(parent)
    } else if name.starts(with: ".wh..wh.".utf8) {
      self = .reserved
    } else {
      let hidden = name.dropFirst(4)
      guard !hidden.isEmpty, !hidden.elementsEqual(".".utf8), !hidden.elementsEqual("..".utf8) else {
        throw LayerFormatError("\(path) is a whiteout of nothing")
      }
      self = .of(try parent.appending(hidden))
    }
  }
}
