#define _GNU_SOURCE
#include "CGuest.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/close_range.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <linux/vm_sockets.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/quota.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define MAX_FDS 16

int guest_openat2(int dir, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve) {
  struct open_how how = {.flags = flags, .mode = mode, .resolve = resolve};
  return (int)syscall(SYS_openat2, dir, path, &how, sizeof how);
}

int guest_pivot_root(const char *new_root, const char *put_old) {
  return (int)syscall(SYS_pivot_root, new_root, put_old);
}

int guest_pipe(int ends[2]) { return pipe2(ends, O_CLOEXEC); }
int guest_memory_file(const char *name) { return memfd_create(name, MFD_CLOEXEC); }
int guest_child_signals(void) {
  sigset_t mask;
  sigemptyset(&mask);
  sigaddset(&mask, SIGCHLD);
  return signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
}
void guest_clear_child_signals(int fd) {
  struct signalfd_siginfo information;
  while (read(fd, &information, sizeof information) > 0) continue;
}
int guest_unshare(int namespaces) { return unshare(namespaces); }
int guest_setns(int fd, int namespaces) { return setns(fd, namespaces); }
int guest_close_range_on_exec(unsigned int first) { return close_range(first, ~0U, CLOSE_RANGE_CLOEXEC); }
int guest_close_range(unsigned int first) { return close_range(first, ~0U, 0); }
uint64_t guest_hard_limit(uint32_t resource) {
  struct rlimit limit = {0};
  getrlimit((__rlimit_resource_t)resource, &limit);
  return limit.rlim_max;
}
void guest_reset_signals(void) {
  // The kernel's struct sigaction, with room; SIG_DFL and no flags are zeros.
  uint64_t standard[8] = {0};
  for (int number = 1; number <= 64; number++)
    syscall(SYS_rt_sigaction, number, standard, NULL, sizeof(uint64_t));
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, standard, NULL, sizeof(uint64_t));
}

int guest_set_limit(uint32_t resource, uint64_t soft, uint64_t hard) {
  struct rlimit limit = {.rlim_cur = soft, .rlim_max = hard};
  return setrlimit((__rlimit_resource_t)resource, &limit);
}
int guest_become_user(uid_t uid) { return setresuid(uid, uid, uid); }
int guest_become_group(gid_t gid) { return setresgid(gid, gid, gid); }

int guest_keep_capabilities(void) { return prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0); }
int guest_no_new_privileges(void) { return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); }
int guest_not_dumpable(void) { return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); }
int guest_process_name(const char *name) { return prctl(PR_SET_NAME, name, 0, 0, 0); }

pid_t guest_clone_sibling(uint64_t namespaces, int cgroup, int *pidfd) {
  struct clone_args args = {.flags = namespaces | CLONE_PARENT | CLONE_PIDFD, .pidfd = (uint64_t)(uintptr_t)pidfd};
  if (cgroup >= 0) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = (uint64_t)cgroup;
  }
  return (pid_t)syscall(SYS_clone3, &args, sizeof args);
}

int guest_pidfd_alive(int pidfd) {
  struct pollfd state = {.fd = pidfd, .events = POLLIN};
  return poll(&state, 1, 0) == 0;
}

ssize_t guest_send_message(int socket, const void *data, size_t length, const int *fds, int count) {
  union {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(MAX_FDS * sizeof(int))];
  } control;
  if (count < 0 || count > MAX_FDS) {
    errno = EINVAL;
    return -1;
  }
  struct iovec part = {.iov_base = (void *)data, .iov_len = length};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
  if (count > 0) {
    memset(&control, 0, sizeof control);
    message.msg_control = control.bytes;
    message.msg_controllen = CMSG_SPACE((size_t)count * sizeof(int));
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN((size_t)count * sizeof(int));
    memcpy(CMSG_DATA(header), fds, (size_t)count * sizeof(int));
  }
  return sendmsg(socket, &message, MSG_NOSIGNAL);
}

ssize_t guest_receive_message(int socket, void *data, size_t length, int *fds, int *count) {
  union {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(MAX_FDS * sizeof(int))];
  } control;
  int room = *count, got = 0, cut = 0;
  struct iovec part = {.iov_base = data, .iov_len = length};
  struct msghdr message = {
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
  *count = 0;
  ssize_t result = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  if (result < 0) return -1;
  cut = (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0;
  for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    size_t arrived = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < arrived; i++) {
      int fd;
      memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof fd);
      if (got < room) {
        fds[got++] = fd;
      } else {
        close(fd);
        cut = 1;
      }
    }
  }
  if (cut) {
    while (got > 0) close(fds[--got]);
    errno = EMSGSIZE;
    return -1;
  }
  *count = got;
  return result;
}

int guest_wait_any(pid_t *pid, uint32_t *code, int leave) {
  siginfo_t info = {0};
  *pid = 0;
  if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | (leave ? WNOWAIT : 0)) != 0) return -1;
  *pid = info.si_pid;
  *code = info.si_code == CLD_EXITED ? (uint32_t)info.si_status & 0xff : 128 + ((uint32_t)info.si_status & 0x7f);
  return 0;
}

int guest_terminal_unlock(int ptmx) {
  int locked = 0;
  return ioctl(ptmx, TIOCSPTLCK, &locked);
}
int guest_terminal_peer(int ptmx) { return ioctl(ptmx, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC); }
int guest_terminal_control(int terminal) { return ioctl(terminal, TIOCSCTTY, 0); }
int guest_terminal_resize(int ptmx, uint16_t columns, uint16_t rows) {
  struct winsize size = {.ws_row = rows, .ws_col = columns};
  return ioctl(ptmx, TIOCSWINSZ, &size);
}

uint8_t guest_terminal_end_of_file(int ptmx) {
  struct termios settings;
  if (tcgetattr(ptmx, &settings) != 0 || !(settings.c_lflag & ICANON)) return 0;
  return settings.c_cc[VEOF];
}

int guest_pipe_size(int pipe, int bytes) { return fcntl(pipe, F_SETPIPE_SZ, bytes); }

int guest_seccomp_load(uint32_t flags, const void *program, size_t length) {
  if (length % sizeof(struct sock_filter) != 0 || length / sizeof(struct sock_filter) > BPF_MAXINSNS) {
    errno = EINVAL;
    return -1;
  }
  struct sock_fprog filter = {
      .len = (unsigned short)(length / sizeof(struct sock_filter)), .filter = (struct sock_filter *)program};
  return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &filter);
}

#define INSN(op, d, s, o, i) ((struct bpf_insn){.code = (op), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i)})
#define MAX_RULES 128

// The context (struct bpf_cgroup_dev_ctx): access_type is the access in its upper half and the device's
// type in its lower, then major and minor. One block a rule; falling through a block goes to the next.
int guest_cgroup_devices(int cgroup, const struct guest_device_rule *rules, size_t count) {
  struct bpf_insn program[6 + 8 * MAX_RULES + 2];
  size_t n = 0;
  if (count > MAX_RULES) {
    errno = E2BIG;
    return -1;
  }
  program[n++] = INSN(BPF_LDX | BPF_MEM | BPF_W, 2, 1, 0, 0);
  program[n++] = INSN(BPF_ALU | BPF_MOV | BPF_X, 3, 2, 0, 0);
  program[n++] = INSN(BPF_ALU | BPF_AND | BPF_K, 2, 0, 0, 0xffff);
  program[n++] = INSN(BPF_ALU | BPF_RSH | BPF_K, 3, 0, 0, 16);
  program[n++] = INSN(BPF_LDX | BPF_MEM | BPF_W, 4, 1, 4, 0);
  program[n++] = INSN(BPF_LDX | BPF_MEM | BPF_W, 5, 1, 8, 0);
  for (size_t i = 0; i < count; i++) {
    const struct guest_device_rule *rule = &rules[i];
    int any_major = rule->major < 0, any_minor = rule->minor < 0;
    size_t end = n + 6 + (any_major ? 0 : 1) + (any_minor ? 0 : 1);
    // Every test of this block that fails jumps to its end.
    program[n] = INSN(BPF_JMP | BPF_JNE | BPF_K, 2, 0, (int16_t)(end - n - 1), (int32_t)rule->type), n++;
    program[n++] = INSN(BPF_ALU | BPF_MOV | BPF_X, 1, 3, 0, 0);
    program[n++] = INSN(BPF_ALU | BPF_AND | BPF_K, 1, 0, 0, (int32_t)~rule->access);
    program[n] = INSN(BPF_JMP | BPF_JNE | BPF_K, 1, 0, (int16_t)(end - n - 1), 0), n++;
    if (!any_major)
      program[n] = INSN(BPF_JMP | BPF_JNE | BPF_K, 4, 0, (int16_t)(end - n - 1), (int32_t)rule->major), n++;
    if (!any_minor)
      program[n] = INSN(BPF_JMP | BPF_JNE | BPF_K, 5, 0, (int16_t)(end - n - 1), (int32_t)rule->minor), n++;
    program[n++] = INSN(BPF_ALU | BPF_MOV | BPF_K, 0, 0, 0, 1);
    program[n++] = INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
  }
  program[n++] = INSN(BPF_ALU | BPF_MOV | BPF_K, 0, 0, 0, 0);
  program[n++] = INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);

  union bpf_attr load;
  memset(&load, 0, sizeof load);
  load.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
  load.insns = (uint64_t)(uintptr_t)program;
  load.insn_cnt = (uint32_t)n;
  load.license = (uint64_t)(uintptr_t) "Apache";
  int loaded = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &load, sizeof load);
  if (loaded < 0) return -1;
  union bpf_attr attach;
  memset(&attach, 0, sizeof attach);
  attach.target_fd = (uint32_t)cgroup;
  attach.attach_bpf_fd = (uint32_t)loaded;
  attach.attach_type = BPF_CGROUP_DEVICE;
  int result = (int)syscall(SYS_bpf, BPF_PROG_ATTACH, &attach, sizeof attach);
  int number = errno;
  close(loaded);
  errno = number;
  return result;
}

int guest_interface_up(const char *name) {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  struct ifreq request;
  memset(&request, 0, sizeof request);
  strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  int result = ioctl(fd, SIOCGIFFLAGS, &request);
  if (result == 0) {
    request.ifr_flags |= IFF_UP;
    result = ioctl(fd, SIOCSIFFLAGS, &request);
  }
  int number = errno;
  close(fd);
  errno = number;
  return result;
}

int guest_set_project(int dir, uint32_t id) {
  struct fsxattr attributes;
  if (ioctl(dir, FS_IOC_FSGETXATTR, &attributes) != 0) return -1;
  attributes.fsx_projid = id;
  attributes.fsx_xflags |= FS_XFLAG_PROJINHERIT;
  return ioctl(dir, FS_IOC_FSSETXATTR, &attributes);
}

int guest_trim(int dir) {
  struct fstrim_range all = {.len = UINT64_MAX};
  return ioctl(dir, FITRIM, &all);
}

int64_t guest_filesystem_type(int fd) {
  struct statfs filesystem;
  return fstatfs(fd, &filesystem) == 0 ? (int64_t)filesystem.f_type : -1;
}

int guest_project_usage(int fd, uint32_t id, uint64_t *bytes, uint64_t *inodes) {
  struct dqblk usage = {0};
  // PRJQUOTA is 2 (linux/quota.h, which can't be included beside sys/quota.h).
  if (syscall(SYS_quotactl_fd, fd, QCMD(Q_GETQUOTA, 2), id, &usage) != 0) return -1;
  *bytes = usage.dqb_curspace;
  *inodes = usage.dqb_curinodes;
  return 0;
}

dev_t guest_device_number(uint32_t major, uint32_t minor) { return makedev(major, minor); }
uint32_t guest_device_major(dev_t device) { return major(device); }
uint32_t guest_device_minor(dev_t device) { return minor(device); }

static int close_keeping_errno(int fd) {
  int number = errno;
  close(fd);
  errno = number;
  return -1;
}

static int listen_at(int family, const void *address, socklen_t length) {
  int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -1;
  if (bind(fd, address, length) != 0 || listen(fd, 128) != 0) return close_keeping_errno(fd);
  return fd;
}

int guest_listen_vsock(uint32_t port) {
  struct sockaddr_vm address = {.svm_family = AF_VSOCK, .svm_port = port, .svm_cid = VMADDR_CID_ANY};
  return listen_at(AF_VSOCK, &address, sizeof address);
}

int guest_listen_unix(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    return -1;
  }
  strcpy(address.sun_path, path);
  return listen_at(AF_UNIX, &address, sizeof address);
}

int guest_connect_loopback(int version, uint16_t port) {
  struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
  const struct sockaddr *address = version == 6 ? (const struct sockaddr *)&v6 : (const struct sockaddr *)&v4;
  int on = 1, fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (connect(fd, address, version == 6 ? sizeof v6 : sizeof v4) != 0 && errno != EINPROGRESS)
    return close_keeping_errno(fd);
  return fd;
}
