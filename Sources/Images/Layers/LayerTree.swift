import EROFS
import LayerFormat

/// The union of an image's layers, one entry after the other (OCI image specification, layer.md).
///
/// What a path means is decided as unpacking below a root would: links in its parent directories are
/// followed, but never above the root, and directories that no layer names are made. No entry can make
/// it do more than a bounded amount of work.
struct LayerTree {
  struct Node {
    var attributes: InodeAttributes
    var kind: Kind
    /// Of a directory.
    var children: [[UInt8]: Child] = [:]
    /// The layer in which everything of the layers below was removed from this directory.
    var clearedIn = -1
  }

  enum Kind {
    /// `block` is of the data of layer `layer`.
    case file(size: UInt64, block: UInt32, layer: Int)
    case directory
    case symlink(target: [UInt8])
    case other(FilesystemTree.Content)
  }

  /// A name: a node, and the last layer that said so. A layer's whiteouts don't hide its own entries.
  struct Child {
    var node: Int
    var layer: Int
  }

  private(set) var nodes = [Node(attributes: .implied, kind: .directory)]
  private var layer = -1
  /// The directory that the last entry was in: the next is in the same as a rule.
  private var lastParent: (path: LayerPath, node: Int)?

  /// What follows is of the next layer up.
  mutating func beginLayer() {
    layer += 1
    lastParent = nil
  }

  mutating func apply(_ entry: LayerEntry) throws(LayerFormatError) {
    switch entry.content {
    case .inode(let inode, let attributes): try add(entry.path, inode, attributes)
    case .hardLink(let target): try link(entry.path, to: target)
    case .whiteout: try hide(entry.path)
    case .opaque:
      if let directory = try find(entry.path) { clear(directory) }
      lastParent = nil
    }
  }

  private mutating func add(
    _ path: LayerPath, _ inode: LayerEntry.Inode, _ attributes: InodeAttributes
  ) throws(LayerFormatError) {
    guard let parted = path.parted else {
      nodes[0].attributes = attributes
      return
    }
    let parent = try makeDirectory(parted.parent)
    let name = Array(parted.name)
    if case .directory = inode, let existing = nodes[parent].children[name], nodes[existing.node].isDirectory {
      nodes[existing.node].attributes = attributes
      nodes[parent].children[name]?.layer = layer
      return
    }
    nodes.append(Node(attributes: attributes, kind: kind(inode)))
    replace(name, in: parent, with: nodes.count - 1)
  }

  private func kind(_ inode: LayerEntry.Inode) -> Kind {
    switch inode {
    case .file(let size, let block): .file(size: size, block: block, layer: layer)
    case .directory: .directory
    case .symlink(let target): .symlink(target: target)
    case .characterDevice(let major, let minor): .other(.characterDevice(major: major, minor: minor))
    case .blockDevice(let major, let minor): .other(.blockDevice(major: major, minor: minor))
    case .fifo: .other(.fifo)
    }
  }

  private mutating func link(_ path: LayerPath, to target: LayerPath) throws(LayerFormatError) {
    guard let (parentPath, name) = path.parted else { throw LayerFormatError("the root is a hard link") }
    guard let (targetParent, targetName) = target.parted, let directory = try find(targetParent),
      let child = nodes[directory].children[Array(targetName)]
    else { throw LayerFormatError("\(path) is a hard link to \(target), which is not in the image") }
    guard !nodes[child.node].isDirectory else {
      throw LayerFormatError("\(path) is a hard link to \(target), which is a directory")
    }
    replace(Array(name), in: try makeDirectory(parentPath), with: child.node)
  }

  private mutating func hide(_ path: LayerPath) throws(LayerFormatError) {
    guard let (parentPath, name) = path.parted, let parent = try find(parentPath),
      let child = nodes[parent].children[Array(name)]
    else { return }
    if !survives(child) { nodes[parent].children[Array(name)] = nil }
    lastParent = nil
  }

  private mutating func replace(_ name: [UInt8], in parent: Int, with node: Int) {
    let old = nodes[parent].children.updateValue(Child(node: node, layer: layer), forKey: name)
    // It may have been a directory or link that the last parent's path leads through.
    if old != nil { lastParent = nil }
  }

  /// Removes what the layers below have in a directory, at any depth. Each directory is gone through
  /// once a layer, however many whiteouts it has.
  private mutating func clear(_ directory: Int) {
    guard nodes[directory].clearedIn != layer else { return }
    nodes[directory].clearedIn = layer
    let children = nodes[directory].children
    for (name, child) in children where !survives(child) { nodes[directory].children[name] = nil }
  }

  /// Clears what is in `child`, and says whether this layer has put it, or something in it, there.
  private mutating func survives(_ child: Child) -> Bool {
    guard nodes[child.node].isDirectory else { return child.layer == layer }
    clear(child.node)
    return child.layer == layer || !nodes[child.node].children.isEmpty
  }
}

extension LayerTree {
  /// More is refused: links can lead deeper than any path is long.
  private static let depthLimit = 2048
  /// Components walked for one entry, those of links included.
  private static let walkLimit = 8192
  /// As the kernel's (path_resolution(7)).
  private static let linkLimit = 40

  /// The directory at `path`, made with all above it if it isn't there.
  private mutating func makeDirectory(_ path: LayerPath) throws(LayerFormatError) -> Int {
    if let lastParent, lastParent.path == path { return lastParent.node }
    var walk = Walk(path)
    while let name = try walk.nextName() {
      if let child = nodes[walk.current].children[name] {
        try walk.enter(child.node, nodes[child.node].kind)
      } else {
        nodes.append(Node(attributes: .implied, kind: .directory))
        nodes[walk.current].children[name] = Child(node: nodes.count - 1, layer: layer)
        try walk.enter(nodes.count - 1, .directory)
      }
    }
    lastParent = (path, walk.current)
    return walk.current
  }

  /// The directory at `path`; nil if there is none.
  private func find(_ path: LayerPath) throws(LayerFormatError) -> Int? {
    if let lastParent, lastParent.path == path { return lastParent.node }
    var walk = Walk(path)
    while let name = try walk.nextName() {
      guard let child = nodes[walk.current].children[name] else { return nil }
      if case .file = nodes[child.node].kind { return nil }
      if case .other = nodes[child.node].kind { return nil }
      try walk.enter(child.node, nodes[child.node].kind)
    }
    return walk.current
  }

  /// A path on its way through the tree, each link in it replaced by its target.
  private struct Walk {
    private let path: LayerPath
    /// From the root to where it is.
    private var ancestors = [0]
    /// What is left to go, the next component last.
    private var rest: [ArraySlice<UInt8>]
    private var steps = 0
    private var links = 0

    init(_ path: LayerPath) {
      self.path = path
      rest = path.components.reversed()
    }

    var current: Int { ancestors.last ?? 0 }

    mutating func nextName() throws(LayerFormatError) -> [UInt8]? {
      while let component = rest.popLast() {
        steps += 1
        guard steps <= LayerTree.walkLimit, ancestors.count <= LayerTree.depthLimit else {
          throw LayerFormatError("\(path) leads too deep")
        }
        if component.elementsEqual(".".utf8) { continue }
        guard component.elementsEqual("..".utf8) else { return Array(component) }
        if ancestors.count > 1 { ancestors.removeLast() }
      }
      return nil
    }

    mutating func enter(_ node: Int, _ kind: Kind) throws(LayerFormatError) {
      switch kind {
      case .directory: ancestors.append(node)
      case .symlink(let target):
        links += 1
        guard links <= LayerTree.linkLimit else { throw LayerFormatError("\(path) leads through too many links") }
        if target.first == UInt8(ascii: "/") { ancestors = [0] }
        rest += target.split(separator: UInt8(ascii: "/")).reversed()
      case .file, .other: throw LayerFormatError("\(path) is in something that is no directory")
      }
    }
  }
}

extension LayerTree.Node {
  var isDirectory: Bool {
    if case .directory = kind { true } else { false }
  }
}

extension InodeAttributes {
  /// Of a directory that no layer has an entry for.
  fileprivate static let implied = InodeAttributes(
    mode: 0o755, uid: 0, gid: 0, modified: 0, modifiedNanoseconds: 0, xattrs: [])
}
