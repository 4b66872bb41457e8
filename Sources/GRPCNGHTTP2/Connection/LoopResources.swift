/// What all connections of a loop share, because only one of them is at work at a time.
final class LoopResources {
  let poller: Poller
  let readBuffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 128 << 10, alignment: 16)
  let output = OutputBuffer()

  init(poller: Poller) { self.poller = poller }

  deinit { readBuffer.deallocate() }
}
