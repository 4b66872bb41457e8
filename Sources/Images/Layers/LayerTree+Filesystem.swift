import EROFS
import LayerFormat
import LinuxSystem

extension LayerTree {
  /// What the layers came to, with layer n's data at block `dataStarts[n]` of the data; nodes that no
  /// name is left for are gone.
  func filesystem(
    dataStarts: [UInt64], dataBlocks: UInt64, _ cancellation: CancellationFlag
  ) throws(CancellationError) -> FilesystemTree {
    var numbers = [0: 0]
    var order = [0]
    var filesystem = FilesystemTree(nodes: [], dataBlocks: dataBlocks)
    var position = 0
    // Breadth first, names in order: the same layers give the same image.
    while position < order.count {
      try cancellation.check()
      let node = nodes[order[position]]
      position += 1
      var names: [FilesystemTree.Name] = []
      for (name, child) in node.children.sorted(by: { $0.key.lexicographicallyPrecedes($1.key) }) {
        let number = numbers[child.node] ?? order.count
        if number == order.count {
          numbers[child.node] = number
          order.append(child.node)
        }
        names.append(.init(name: name, node: number))
      }
      filesystem.nodes.append(
        .init(attributes: node.attributes, content: content(node.kind, names, dataStarts)))
    }
    return filesystem
  }

  private func content(
    _ kind: Kind, _ names: [FilesystemTree.Name], _ dataStarts: [UInt64]
  ) -> FilesystemTree.Content {
    switch kind {
    case .file(let size, let block, let layer): .file(size: size, block: dataStarts[layer] + UInt64(block))
    case .directory: .directory(names)
    case .symlink(let target): .symlink(target: target)
    case .other(let content): content
    }
  }
}
