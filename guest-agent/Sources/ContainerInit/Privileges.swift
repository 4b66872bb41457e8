import CCap
import CGuest
import CLinux
import Glibc
import LinuxSystem

/// Turns this process, so far root with every capability, into what the plan says. Nothing afterwards may
/// need a privilege but exec itself.
func becomeUser(_ identity: Identity, _ plan: ProcessPlan) throws {
  // Without no_new_privs, loading a filter needs CAP_SYS_ADMIN, which is about to go.
  if !plan.noNewPrivileges { try loadFilter(plan) }
  try dropBoundingSet(to: plan.capabilities.bounding)
  try systemCall("PR_SET_KEEPCAPS") { guest_keep_capabilities() }
  try systemCall("setgroups") { setgroups(identity.groups.count, identity.groups) }
  try systemCall("setgid", subject: "\(identity.gid)") { guest_become_group(identity.gid) }
  try systemCall("setuid", subject: "\(identity.uid)") { guest_become_user(identity.uid) }
  try setCapabilities(plan.capabilities)
  if plan.noNewPrivileges {
    try systemCall("PR_SET_NO_NEW_PRIVS") { guest_no_new_privileges() }
    try loadFilter(plan)
  }
}

private func loadFilter(_ plan: ProcessPlan) throws(SystemError) {
  if plan.seccompProgram.isEmpty { return }
  try systemCall("seccomp") {
    plan.seccompProgram.withUnsafeBytes { guest_seccomp_load(plan.seccompFlags, $0.baseAddress, $0.count) }
  }
}

private func dropBoundingSet(to kept: UInt64) throws(SystemError) {
  for capability in 0..<Int32(cap_max_bits()) where kept & (1 << UInt64(capability)) == 0 {
    try systemCall("PR_CAPBSET_DROP") { cap_drop_bound(capability) }
  }
}

private func setCapabilities(_ plan: CapabilityPlan) throws {
  guard let state = cap_init() else { throw SystemError("cap_init", ENOMEM) }
  defer { cap_free(UnsafeMutableRawPointer(state)) }
  let sets = [(CAP_EFFECTIVE, plan.effective), (CAP_PERMITTED, plan.permitted), (CAP_INHERITABLE, plan.inheritable)]
  for (set, wanted) in sets {
    let values = (0..<Int32(cap_max_bits())).filter { wanted & (1 << UInt64($0)) != 0 }
    if values.isEmpty { continue }
    try systemCall("cap_set_flag") { cap_set_flag(state, set, Int32(values.count), values, CAP_SET) }
  }
  try systemCall("capset") { cap_set_proc(state) }
  try systemCall("clear ambient capabilities") { cap_reset_ambient() }
  for capability in 0..<Int32(cap_max_bits()) where plan.ambient & (1 << UInt64(capability)) != 0 {
    try systemCall("raise ambient capability", subject: "\(capability)") { cap_set_ambient(capability, CAP_SET) }
  }
}
