import Foundation
import NIOHTTP1
import OCISpec
import Synchronization

/// The answers of a registry that has some images, ranges included; for a test to spoil where it wants to.
struct HonestRegistry: Sendable {
  private var contents: [String: TestImage.Blob] = [:]

  mutating func add(_ image: TestImage, _ repository: String, tags: [String] = ["latest"]) {
    for blob in image.blobs { contents["/v2/\(repository)/blobs/\(blob.digest)"] = blob }
    add(image.manifest, repository, tags: tags)
  }

  mutating func add(_ manifest: TestImage.Blob, _ repository: String, tags: [String] = []) {
    for name in tags + [manifest.digest.description] { contents["/v2/\(repository)/manifests/\(name)"] = manifest }
  }

  func answer(_ request: ScriptedServer.Request) -> ScriptedServer.Answer {
    guard let blob = contents[request.path] else { return .notFound }
    var answer = ScriptedServer.Answer(headers: [("content-type", blob.mediaType)], body: blob.bytes)
    if let range = request.headers.first(name: "range"), let start = Int(range.dropFirst(6).prefix { $0 != "-" }) {
      answer.status = .partialContent
      answer.headers.append(("content-range", "bytes \(start)-\(blob.bytes.count - 1)/\(blob.bytes.count)"))
      answer.body = Data(blob.bytes.dropFirst(start))
    }
    return answer
  }
}
