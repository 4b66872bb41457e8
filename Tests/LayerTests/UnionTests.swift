import Common
import Foundation
import Glibc
import Images
import LayerFormat
import Testing

/// Layers that fit together only one way, or not at all.
@Suite(.serialized) struct UnionTests {
  @Test func aLayersWhiteoutsDontHideItsOwnEntries() async throws {
    try requireRoot()
    let layers = [
      tar { tar in
        tar.add("d/lower", .file, [1])
        tar.add("d/e/lower", .file, [1])
        tar.add("f", .file, [1])
      },
      tar { tar in
        tar.add("d/upper", .file, [2])
        tar.add("d/e/upper", .file, [2])
        tar.add("f", .file, [2, 2])
        tar.add("d/.wh..wh..opq")
        tar.add(".wh.f")
      },
    ]
    #expect(try await paths(layers) == ["/", "/d", "/d/e", "/d/e/upper", "/d/upper", "/f"])
  }

  @Test func linksInParentsStayInsideTheImage() async throws {
    try requireRoot()
    let layers = [
      tar { tar in
        tar.add("out", .symlink, link: "../../../..")
        tar.add("absolute", .symlink, link: "/real")
        tar.add("dangling", .symlink, link: "made/here")
        tar.add("out/top", .file, [1])
        tar.add("absolute/inside", .file, [1])
        tar.add("dangling/file", .file, [1])
        tar.add("/leading/slash", .file, [1])
      }
    ]
    #expect(
      try await paths(layers) == [
        "/", "/absolute", "/dangling", "/leading", "/leading/slash", "/made", "/made/here", "/made/here/file", "/out",
        "/real", "/real/inside", "/top",
      ])
  }

  @Test func fileDirectoryAndBack() async throws {
    try requireRoot()
    let file = tar { $0.add("x", .file, [1]) }
    let directory = tar { $0.add("x/y", .file, [1]) }
    let named = tar { tar in
      tar.add("x/", .directory, mode: 0o755)
      tar.add("x/y", .file, [1])
    }
    #expect(try await paths([file, named]) == ["/", "/x", "/x/y"])
    #expect(try await paths([named, file]) == ["/", "/x"])
    #expect(try await paths([named, file, named, file]) == ["/", "/x"])
    #expect(try await refusalOfUnion([file, directory]).message == "/x is in something that is no directory")
  }

  @Test func reservedNamesAreNoPartOfTheImage() async throws {
    try requireRoot()
    let layer = tar { tar in
      tar.add(".wh..wh.plnk", .directory)
      tar.add(".wh..wh.plnk/123.456", .file, [1])
      tar.add(".wh..wh.aufs", .file, [1])
      tar.add("file", .file, [1])
    }
    #expect(try await paths([layer]) == ["/", "/file"])
  }

  @Test func overlayfsAttributesAreLeftOut() async throws {
    try requireRoot()
    let scratch = try Scratch()
    let layer = tar { tar in
      tar.add(
        "d", .directory, mode: 0o755,
        pax: [
          ("SCHILY.xattr.trusted.overlay.opaque", Array("y".utf8)), ("SCHILY.xattr.user.kept", Array("1".utf8)),
          ("SCHILY.xattr.com.apple.quarantine", Array("1".utf8)),
        ])
    }
    let image = try MountedImage(try await makeImage([layer], in: scratch), in: scratch)
    let seen = try tree(image.root)["/d"] ?? ""
    #expect(seen.contains("user.kept=[49]"), "\(seen)")
    #expect(!seen.contains("overlay") && !seen.contains("apple"), "\(seen)")
  }

  @Test func aHardLinkNeedsItsTarget() async throws {
    let missing = try await refusalOfUnion([tar { $0.add("a", .hardLink, link: "b") }])
    #expect(missing.code == .invalidArgument)
    #expect(missing.message == "/a is a hard link to /b, which is not in the image")
    let hidden = try await refusalOfUnion([
      tar { $0.add("b", .file, [1]) },
      tar { tar in
        tar.add(".wh.b")
        tar.add("a", .hardLink, link: "b")
      },
    ])
    #expect(hidden.message == "/a is a hard link to /b, which is not in the image")
    let cycle = try await refusalOfUnion([
      tar { tar in
        tar.add("a", .hardLink, link: "b")
        tar.add("b", .hardLink, link: "a")
      }
    ])
    #expect(cycle.message == "/a is a hard link to /b, which is not in the image")
    let directory = try await refusalOfUnion([
      tar { tar in
        tar.add("d/", .directory)
        tar.add("a", .hardLink, link: "d")
      }
    ])
    #expect(directory.message == "/a is a hard link to /d, which is a directory")
  }

  @Test func pathsThatLeadInCirclesAreRefused() async throws {
    let circle = try await refusalOfUnion([
      tar { tar in
        tar.add("a", .symlink, link: "b")
        tar.add("b", .symlink, link: "a")
        tar.add("a/file", .file, [1])
      }
    ])
    #expect(circle.message == "/a leads through too many links")
    let deeper = try await refusalOfUnion([
      tar { tar in
        let deep = String(repeating: "d/", count: 1500)
        tar.add(deep + "x", .file, [1])
        tar.add("s", .symlink, link: deep)
        tar.add("s/" + deep + "x", .file, [1])
      }
    ])
    #expect(deeper.message.hasSuffix("leads too deep"), "\(deeper.message)")
  }

  @Test func aDeepTreeIsMountedWhole() async throws {
    try requireRoot()
    let layer = tar { $0.add(String(repeating: "d/", count: 1800) + "f", .file, Array("bottom".utf8)) }
    let scratch = try Scratch()
    let image = try MountedImage(try await makeImage([layer], in: scratch), in: scratch)
    // No path of one call reaches it.
    let program =
      "import os,sys; os.chdir(sys.argv[1]); [os.chdir('d') for _ in range(1800)]; print(open('f').read(), end='')"
    #expect(try run("python3", "-c", program, image.root) == "bottom")
  }

  @Test func aDamagedIndexIsDataLoss() async throws {
    let scratch = try Scratch()
    try await convert(ConversionTests.example, into: scratch.path)
    let files = LayerFiles(directory: scratch.path)
    truncate(files.index, 100)
    let error = await #expect(throws: BulkheadError.self) {
      try await ImageFilesystem.write(layers: [files], imageID: exampleImage, to: scratch.path + "/image")
    }
    #expect(error?.code == .dataLoss)
    #expect(!FileManager.default.fileExists(atPath: scratch.path + "/image"))
  }

  @Test func layersTogetherHaveALimitToo() async throws {
    let scratch = try Scratch()
    let limits = LayerLimits(maximumEntries: 10, stallTimeout: .seconds(20))
    func image(_ count: Int, of layer: LayerFiles) async throws -> [ImageExtent] {
      let layers = Array(repeating: layer, count: count)
      return try await ImageFilesystem.write(
        layers: layers, imageID: exampleImage, to: scratch.path + "/image", limits: limits)
    }
    func converted(_ layer: [UInt8], into name: String) async throws -> LayerFiles {
      let directory = try scratch.directory(name)
      try await convert(layer, into: directory, limits: limits)
      return LayerFiles(directory: directory)
    }
    let layer = try await converted(tar { tar in for number in 0..<10 { tar.add("f\(number)", .fifo) } }, into: "ten")
    _ = try await image(4, of: layer)
    let many = await #expect(throws: BulkheadError.self) { try await image(5, of: layer) }
    #expect(many?.code == .invalidArgument)
    #expect(many?.message == "the image's layers have more entries together than the limit of 40")
    let long = try await converted(
      tar { tar in for number in 0..<6 { tar.add(String(repeating: "d/", count: 1000) + "\(number)", .fifo) } },
      into: "long")
    let large = await #expect(throws: BulkheadError.self) { try await image(1, of: long) }
    #expect(large?.code == .invalidArgument)
    #expect(large?.message.hasSuffix("are larger than the limit of 10.0 KiB") == true)
  }

  /// The index is a pipe, so that the work is in its middle when the task is cancelled.
  @Test func cancellationEndsItInTheMiddle() async throws {
    let scratch = try Scratch()
    let directory = try scratch.directory("layer")
    try await convert(tar { tar in for number in 0..<1000 { tar.add("f\(number)", .fifo) } }, into: directory)
    let files = LayerFiles(directory: directory)
    let index = try Data(contentsOf: URL(fileURLWithPath: files.index))
    unlink(files.index)
    try #require(mkfifo(files.index, 0o600) == 0)
    let image = scratch.path + "/image"
    let writing = Task {
      try await ImageFilesystem.write(layers: [files], imageID: exampleImage, to: image)
    }
    // Both ends, so that writing never waits for the reader, nor fails when it has gone.
    let pipe = try #require(FileHandle(forUpdatingAtPath: files.index))
    try pipe.write(contentsOf: index.prefix(index.count / 2))
    writing.cancel()
    try pipe.write(contentsOf: index.dropFirst(index.count / 2).prefix(index.count / 4))
    await #expect(throws: CancellationError.self) { try await writing.value }
    try pipe.close()
    #expect(try FileManager.default.contentsOfDirectory(atPath: scratch.path) == ["layer"])
  }

  private func paths(_ layers: [[UInt8]]) async throws -> [String] {
    let scratch = try Scratch()
    let image = try MountedImage(try await makeImage(layers, in: scratch), in: scratch)
    return try tree(image.root).keys.sorted()
  }

  private func refusalOfUnion(_ layers: [[UInt8]]) async throws -> BulkheadError {
    let scratch = try Scratch()
    do {
      let extents = try await makeImage(layers, in: scratch)
      throw Failure("was made: \(extents)")
    } catch let error as BulkheadError {
      return error
    }
  }
}
