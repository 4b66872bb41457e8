// Linux interfaces that Swift's Glibc module does not import: GNU extensions, system calls without a
// C library wrapper, and macros that Swift can't see. Shared by host and guest.
//
// No _GNU_SOURCE here: it changes types that the Glibc module has already (fd_set), and the compiler
// then refuses both. What needs it is implemented in CLinux.c. Functions return -1 and leave errno.
#pragma once
#include <linux/vm_sockets.h>
#include <spawn.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/types.h>

int bh_pidfd_open(pid_t pid);
int bh_pidfd_send_signal(int pidfd, int signal);
// prctl(PR_SET_CHILD_SUBREAPER, 1)
int bh_set_child_subreaper(void);

// CLONE_NEW* for unshare and setns.
extern const int bh_CLONE_NEWNET;
extern const int bh_CLONE_NEWNS;
extern const int bh_CLONE_FS;
int bh_unshare(int flags);
int bh_setns(int fd, int type);
// mount(source, target, NULL, MS_BIND, NULL)
int bh_bind_mount(const char *source, const char *target);
// mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL): what is mounted from here on stays in this namespace.
int bh_make_mounts_slave(void);
// mount("tmpfs", target, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, options)
int bh_mount_tmpfs(const char *target, const char *options);
// umount2(target, MNT_DETACH)
int bh_detach_mount(const char *target);

// open(path, O_PATH | O_CLOEXEC), with O_DIRECTORY if asked for. Follows symbolic links.
int bh_open_path(const char *path, int directory);
// open_tree(2) with OPEN_TREE_CLONE: a copy of the mount that `fd` is in, from `fd` down, attached nowhere.
int bh_clone_mounts(int fd, int recursive);
// move_mount(2) of a copy to a place, both by descriptor.
int bh_attach_mount(int tree, int target);
// mount_setattr(2). MOUNT_ATTR_* and MS_*.
int bh_set_mount(int fd, uint64_t set, uint64_t clear, uint64_t propagation, int recursive);
// statx(2)'s stx_mnt_id; 0: unknown.
uint64_t bh_mount_id(int fd);
// Whether the file is the root of a mount.
int bh_is_mount_root(int fd);
// fstatfs(2); `flags` are ST_* of statvfs(3).
struct bh_filesystem {
  int64_t type;
  uint64_t bytes;
  uint64_t flags;
};
int bh_filesystem(int fd, struct bh_filesystem *filesystem);
// Size and logical block size of a block device (BLKGETSIZE64, BLKSSZGET).
int bh_block_device(int fd, uint64_t *bytes, uint32_t *block);
// The major(3) and minor(3) macros.
uint64_t bh_device_major(dev_t device);
uint64_t bh_device_minor(dev_t device);
// prctl(PR_SET_SECUREBITS) with NO_SETUID_FIXUP alone: the thread, and what it executes, keeps its
// capabilities while it is another user.
int bh_keep_capabilities_across_users(void);

// copy_file_range(2) without flags.
ssize_t bh_copy_file_range(int from, off_t *from_offset, int to, off_t *to_offset, size_t length);
// lseek(2) to the next data or hole at or after `offset`.
off_t bh_seek_data(int fd, off_t offset);
off_t bh_seek_hole(int fd, off_t offset);

// Empties the capability bounding set of the thread, as far as CAP_SETPCAP allows.
void bh_drop_bounding_capabilities(void);
// Empties the permitted, effective, inheritable and ambient sets.
int bh_clear_capabilities(void);
// prctl(PR_SET_NO_NEW_PRIVS, 1)
int bh_set_no_new_privs(void);
// prctl(PR_SET_DUMPABLE, 0)
int bh_set_undumpable(void);
// close_range(first, UINT_MAX, 0)
int bh_close_from(unsigned first);
// A TCP socket that listens on 127.0.0.1 (`version` 4) or ::1 (6), close-on-exec; `port` 0 is any free one.
int bh_listen_loopback(int version, uint16_t port);
// The port that a TCP socket is bound to; 0 if none.
uint16_t bh_local_port(int fd);
// accept4(2)
int bh_accept4(int fd, struct sockaddr *address, socklen_t *length, int flags);
// prctl(PR_SET_NAME, name): at most 15 bytes are kept.
int bh_set_thread_name(const char *name);
// pipe2(ends, O_CLOEXEC)
int bh_pipe(int ends[2]);
ssize_t bh_getxattr(const char *path, const char *name, void *value, size_t size);
int bh_setxattr(const char *path, const char *name, const void *value, size_t size);
// posix_spawn_file_actions_addclosefrom_np(3); returns an error number.
int bh_spawn_close_from(posix_spawn_file_actions_t *actions, int first);
// pidfd_getfd(2): a copy of another process's descriptor, close-on-exec.
int bh_pidfd_getfd(int pidfd, int fd);
// mallopt(M_ARENA_MAX, count): how many heaps threads share from now on; glibc makes eight for each processor.
void bh_limit_heaps(int count);
// malloc_trim(0): gives memory that was freed back to the system.
void bh_trim_heap(void);
// Takes the pages of all executables' and libraries' read-only segments out of this process's page tables; what is
// needed again comes back from the page cache (madvise(2), MADV_DONTNEED; dl_iterate_phdr(3)).
void bh_unmap_clean_code(void);
