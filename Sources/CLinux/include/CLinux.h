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
// malloc_trim(0): gives memory that was freed back to the system.
void bh_trim_heap(void);
