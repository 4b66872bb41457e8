// The Linux calls of the guest that Swift can't make itself: those without a libc wrapper, variadic
// ones, and those whose structures are built from macros (control messages, siginfo). Each is one call
// and reports as its system call does: -1 and errno.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// openat2(2). `resolve` are RESOLVE_* flags.
int guest_openat2(int dir, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve);
#define GUEST_RESOLVE_IN_ROOT 0x10
#define GUEST_RESOLVE_NO_MAGICLINKS 0x02

// What the headers keep from programs that don't define _GNU_SOURCE, and Swift's modules do not.
#define GUEST_CLONE_NEWNS 0x00020000
#define GUEST_CLONE_NEWCGROUP 0x02000000
#define GUEST_CLONE_NEWPID 0x20000000
#define GUEST_O_PATH 010000000
#define GUEST_AT_EMPTY_PATH 0x1000
#define GUEST_AT_RECURSIVE 0x8000
int guest_unshare(int namespaces);
int guest_pipe(int ends[2]);
int guest_memory_file(const char *name);
// A non-blocking signalfd(2) for SIGCHLD, and taking everything from it.
int guest_child_signals(void);
void guest_clear_child_signals(int fd);
// Every signal's default action, and none blocked: those that the C library keeps for itself too, which its
// posix_spawn(3) leaves ignored and its own calls don't touch.
void guest_reset_signals(void);
int guest_setns(int fd, int namespaces);
int guest_close_range_on_exec(unsigned int first);
int guest_close_range(unsigned int first);
// getrlimit(2)'s hard limit of this process.
uint64_t guest_hard_limit(uint32_t resource);
int guest_set_limit(uint32_t resource, uint64_t soft, uint64_t hard);
int guest_become_user(uid_t uid);
int guest_become_group(gid_t gid);

// prctl(2), one function an option.
int guest_keep_capabilities(void);
int guest_no_new_privileges(void);
int guest_not_dumpable(void);
int guest_process_name(const char *name);

int guest_pivot_root(const char *new_root, const char *put_old);

// clone3(2) with the caller's own parent as the child's (CLONE_PARENT), the child born in the cgroup
// whose directory is `cgroup` (-1: the caller's own). 0 in the child, which is a fork of the caller.
pid_t guest_clone_sibling(uint64_t namespaces, int cgroup, int *pidfd);

// 1 if the process of the pidfd has not ended, else 0.
int guest_pidfd_alive(int pidfd);

// Sends one message of a SOCK_SEQPACKET socket, with file descriptors.
ssize_t guest_send_message(int socket, const void *data, size_t length, const int *fds, int count);
// Receives one; `*count` is the room in `fds` before and what arrived after. EMSGSIZE if the message or
// its descriptors were cut (those that did arrive are closed then).
ssize_t guest_receive_message(int socket, void *data, size_t length, int *fds, int *count);

// waitid(2) on any child that has ended, without waiting; `pid` is 0 when there is none. With `leave` the
// child stays a zombie. `code` is 0 to 255, or 128 plus the signal.
int guest_wait_any(pid_t *pid, uint32_t *code, int leave);

// ioctl(2) with TIOCSPTLCK (unlock), TIOCGPTPEER, TIOCSCTTY, TIOCSWINSZ.
int guest_terminal_unlock(int ptmx);
int guest_terminal_peer(int ptmx);
int guest_terminal_control(int terminal);
int guest_terminal_resize(int ptmx, uint16_t columns, uint16_t rows);
// The character by which a line of this terminal's is ended without a newline (termios(3), VEOF); 0 where
// the terminal is not read by lines.
uint8_t guest_terminal_end_of_file(int ptmx);
// fcntl(2) with F_SETPIPE_SZ.
int guest_pipe_size(int pipe, int bytes);

// seccomp(2) SECCOMP_SET_MODE_FILTER with a program of `length` bytes (struct sock_filter, 8 bytes each).
int guest_seccomp_load(uint32_t flags, const void *program, size_t length);

// Allows a cgroup only the devices listed (`rules`, `count` of them): BPF_PROG_TYPE_CGROUP_DEVICE.
struct guest_device_rule {
  uint32_t type;  // 1 block, 2 char, as the kernel's BPF_DEVCG_DEV_*
  int64_t major;  // -1: any
  int64_t minor;  // -1: any
  uint32_t access;  // BPF_DEVCG_ACC_*: 1 mknod, 2 read, 4 write
};
int guest_cgroup_devices(int cgroup, const struct guest_device_rule *rules, size_t count);

// A stream socket that listens, non-blocking and close-on-exec: on a vsock port for any peer, or at a path.
int guest_listen_vsock(uint32_t port);
int guest_listen_unix(const char *path);
// A TCP socket that is being connected to this network namespace's own 127.0.0.1 (`version` 4) or ::1 (6).
int guest_connect_loopback(int version, uint16_t port);

// Brings a network interface of this network namespace up.
int guest_interface_up(const char *name);

// Makes a directory, and what is made below it, count against project `id` (ext4's project quota).
int guest_set_project(int dir, uint32_t id);
// What project `id` has on the filesystem of `fd`: quotactl_fd(2), Q_GETQUOTA.
int guest_project_usage(int fd, uint32_t id, uint64_t *bytes, uint64_t *inodes);

// Tells the disk below the filesystem of `dir` what space is free: FITRIM (fstrim(8)).
int guest_trim(int dir);

// f_type of fstatfs(2).
int64_t guest_filesystem_type(int fd);

// The makedev(3) macros.
dev_t guest_device_number(uint32_t major, uint32_t minor);
uint32_t guest_device_major(dev_t device);
uint32_t guest_device_minor(dev_t device);
