import CNetlink
import LinuxSystem

#if canImport(Glibc)
  import Glibc
#endif

extension NetlinkSocket {
  /// Sends everything that comes in on one link out of another, past the protocol stack: tc(8)'s
  /// `ingress` with a `u32` that matches all and a `mirred` that redirects. u32 and not matchall, because
  /// small kernels leave the latter out.
  public mutating func redirect(from link: Int32, to other: Int32) throws(SystemError) {
    var queue = NetlinkRequest(
      "add the ingress of link \(link)", type: RTM_NEWQDISC, flags: NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL)
    queue.appendTrafficHeader(link: link, handle: Self.ingress, parent: 0xffff_fff1, info: 0)
    queue.attribute(Int(TCA_KIND), "ingress")
    try perform(queue)

    var filter = NetlinkRequest(
      "redirect link \(link)", type: RTM_NEWTFILTER, flags: NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL)
    let everyProtocol = UInt32(UInt16(ETH_P_ALL).bigEndian)
    filter.appendTrafficHeader(link: link, handle: 0, parent: Self.ingress, info: 1 << 16 | everyProtocol)
    filter.attribute(Int(TCA_KIND), "u32")
    filter.nested(Int(TCA_OPTIONS)) { options in
      options.nested(Int(TCA_U32_SEL)) { $0.appendSelectorOfAll() }
      options.nested(Int(TCA_U32_ACT)) { actions in
        actions.nested(1) { action in
          action.attribute(Int(TCA_ACT_KIND), "mirred")
          action.nested(Int(TCA_ACT_OPTIONS)) { $0.nested(Int(TCA_MIRRED_PARMS)) { $0.appendMirred(to: other) } }
        }
      }
    }
    try perform(filter)
  }

  private static var ingress: UInt32 { 0xffff_0000 }
}

private let ETH_P_ALL = 3

extension NetlinkRequest {
  /// struct tcmsg
  fileprivate mutating func appendTrafficHeader(link: Int32, handle: UInt32, parent: UInt32, info: UInt32) {
    append(UInt32(UInt8(AF_UNSPEC)))
    append(link)
    append(handle)
    append(parent)
    append(info)
  }

  /// struct tc_u32_sel with one key, whose mask is nothing.
  fileprivate mutating func appendSelectorOfAll() {
    append(UInt8(TC_U32_TERMINAL))
    append(UInt8(0))
    append(UInt8(1))
    for _ in 3..<32 { append(UInt8(0)) }
  }

  /// struct tc_mirred
  fileprivate mutating func appendMirred(to link: Int32) {
    for number in [0, 0, Int32(TC_ACT_STOLEN), 0, 0, Int32(TCA_EGRESS_REDIR), link] { append(number) }
  }
}
