// Swift's runtime, before main, asks /proc/self/exe where it is, and does not survive that there is no
// /proc. So the first process of a PID namespace mounts its own before any of the runtime's constructors run.
#include <sys/mount.h>
#include <unistd.h>

__attribute__((constructor(101))) static void guest_mount_proc(void) {
  char self[8] = {0};
  if (getpid() != 1) return;
  // Another namespace's /proc knows us by another number.
  if (readlink("/proc/self", self, sizeof self - 1) == 1 && self[0] == '1') return;
  mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
}
