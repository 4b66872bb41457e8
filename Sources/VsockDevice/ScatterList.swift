#if canImport(Glibc)
  import Glibc
#endif

/// The payload part of a chain as the kernel wants it, so that bytes go between a client's socket and
/// the guest's memory in one copy, the kernel's.
struct ScatterList {
  /// The kernel takes no more at once (IOV_MAX).
  private static let maximumVectors = 1024
  private var vectors: ContiguousArray<iovec> = []

  init() { vectors.reserveCapacity(Self.maximumVectors) }

  /// Bytes `start..<start + limit` of the segments, or as much of that as one call can take.
  mutating func gather(_ segments: ContiguousArray<SharedBytes>, from start: Int, limit: Int) {
    vectors.removeAll(keepingCapacity: true)
    var skip = start
    var left = limit
    for segment in segments where left > 0 && vectors.count < Self.maximumVectors {
      guard skip < segment.count else {
        skip -= segment.count
        continue
      }
      let count = min(segment.count - skip, left)
      vectors.append(iovec(iov_base: segment.base + skip, iov_len: count))
      left -= count
      skip = 0
    }
  }

  enum Outcome: Equatable {
    case moved(Int)
    case wouldBlock
    /// The other side is gone.
    case broken
  }

  mutating func send(to socket: Int32) -> Outcome {
    transfer { message in sendmsg(socket, message, Int32(MSG_NOSIGNAL | MSG_DONTWAIT)) }
  }

  /// `.moved(0)` is the end of the stream.
  mutating func receive(from socket: Int32) -> Outcome {
    transfer { message in recvmsg(socket, message, Int32(MSG_DONTWAIT)) }
  }

  private mutating func transfer(_ call: (UnsafeMutablePointer<msghdr>) -> Int) -> Outcome {
    vectors.withUnsafeMutableBufferPointer { vectors in
      var message = msghdr()
      message.msg_iov = vectors.baseAddress
      message.msg_iovlen = vectors.count
      while true {
        let count = call(&message)
        if count >= 0 { return .moved(count) }
        switch errno {
        case EINTR: continue
        case EAGAIN: return .wouldBlock
        default: return .broken
        }
      }
    }
  }
}
