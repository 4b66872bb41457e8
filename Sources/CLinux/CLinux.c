#define _GNU_SOURCE
#include <malloc.h>
#include "CLinux.h"
#include <linux/capability.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <netinet/in.h>
#include <sched.h>
#include <linux/securebits.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

int bh_pidfd_open(pid_t pid) { return (int)syscall(SYS_pidfd_open, pid, 0); }
int bh_pidfd_send_signal(int pidfd, int signal) {
  return (int)syscall(SYS_pidfd_send_signal, pidfd, signal, (void *)0, 0);
}
int bh_set_child_subreaper(void) { return prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); }

const int bh_CLONE_NEWNET = CLONE_NEWNET;
const int bh_CLONE_NEWNS = CLONE_NEWNS;
const int bh_CLONE_FS = CLONE_FS;
int bh_unshare(int flags) { return unshare(flags); }
int bh_setns(int fd, int type) { return setns(fd, type); }
int bh_bind_mount(const char *source, const char *target) { return mount(source, target, NULL, MS_BIND, NULL); }
int bh_make_mounts_slave(void) { return mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL); }
int bh_mount_tmpfs(const char *target, const char *options) {
  return mount("tmpfs", target, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, options);
}
int bh_open_path(const char *path, int directory) {
  return open(path, O_PATH | O_CLOEXEC | (directory ? O_DIRECTORY : 0));
}
int bh_clone_mounts(int fd, int recursive) {
  return open_tree(fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0));
}
int bh_attach_mount(int tree, int target) {
  return move_mount(tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}
int bh_set_mount(int fd, uint64_t set, uint64_t clear, uint64_t propagation, int recursive) {
  struct mount_attr attributes = {.attr_set = set, .attr_clr = clear, .propagation = propagation};
  return mount_setattr(fd, "", AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0), &attributes, sizeof attributes);
}
uint64_t bh_mount_id(int fd) {
  struct statx status;
  if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &status) != 0 || !(status.stx_mask & STATX_MNT_ID)) return 0;
  return status.stx_mnt_id;
}
int bh_is_mount_root(int fd) {
  struct statx status;
  return statx(fd, "", AT_EMPTY_PATH, 0, &status) == 0 && (status.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}
int bh_filesystem(int fd, struct bh_filesystem *filesystem) {
  struct statfs status;
  if (fstatfs(fd, &status) != 0) return -1;
  filesystem->type = (int64_t)status.f_type;
  filesystem->bytes = (uint64_t)status.f_blocks * (uint64_t)status.f_bsize;
  filesystem->flags = (uint64_t)status.f_flags;
  return 0;
}
int bh_block_device(int fd, uint64_t *bytes, uint32_t *block) {
  int size = 0;
  if (ioctl(fd, BLKGETSIZE64, bytes) != 0 || ioctl(fd, BLKSSZGET, &size) != 0) return -1;
  *block = (uint32_t)size;
  return 0;
}
uint64_t bh_device_major(dev_t device) { return major(device); }
uint64_t bh_device_minor(dev_t device) { return minor(device); }
int bh_keep_capabilities_across_users(void) {
  return prctl(PR_SET_SECUREBITS, (unsigned long)SECBIT_NO_SETUID_FIXUP, 0, 0, 0);
}

int bh_detach_mount(const char *target) { return umount2(target, MNT_DETACH); }

ssize_t bh_copy_file_range(int from, off_t *from_offset, int to, off_t *to_offset, size_t length) {
  return copy_file_range(from, from_offset, to, to_offset, length, 0);
}
off_t bh_seek_data(int fd, off_t offset) { return lseek(fd, offset, SEEK_DATA); }
off_t bh_seek_hole(int fd, off_t offset) { return lseek(fd, offset, SEEK_HOLE); }

void bh_drop_bounding_capabilities(void) {
  // Up to the last one that this kernel knows: the next is EINVAL.
  for (unsigned long capability = 0; prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0; capability++) {
  }
}
int bh_clear_capabilities(void) {
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) == -1) return -1;
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {0};
  return (int)syscall(SYS_capset, &header, none);
}

int bh_set_no_new_privs(void) { return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); }
int bh_set_undumpable(void) { return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); }
int bh_close_from(unsigned first) { return close_range(first, ~0u, 0); }

int bh_accept4(int fd, struct sockaddr *address, socklen_t *length, int flags) {
  return accept4(fd, address, length, flags);
}

int bh_set_thread_name(const char *name) { return prctl(PR_SET_NAME, name, 0, 0, 0); }

int bh_pipe(int ends[2]) { return pipe2(ends, O_CLOEXEC); }
ssize_t bh_getxattr(const char *path, const char *name, void *value, size_t size) {
  return getxattr(path, name, value, size);
}
int bh_setxattr(const char *path, const char *name, const void *value, size_t size) {
  return setxattr(path, name, value, size, 0);
}
int bh_spawn_close_from(posix_spawn_file_actions_t *actions, int first) {
  return posix_spawn_file_actions_addclosefrom_np(actions, first);
}
int bh_pidfd_getfd(int pidfd, int fd) { return (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0); }

void bh_limit_heaps(int count) { mallopt(M_ARENA_MAX, count); }
void bh_trim_heap(void) { malloc_trim(0); }

static int drop_segments(struct dl_phdr_info *object, size_t size, void *page_size) {
  const uintptr_t page = *(const uintptr_t *)page_size;
  for (int i = 0; i < object->dlpi_phnum; i++) {
    const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
    // Where the linker could write there may be relocations, which the file does not have.
    if (segment->p_type != PT_LOAD || segment->p_flags & PF_W) continue;
    uintptr_t start = (object->dlpi_addr + segment->p_vaddr + page - 1) & ~(page - 1);
    uintptr_t end = (object->dlpi_addr + segment->p_vaddr + segment->p_memsz) & ~(page - 1);
    if (start < end) madvise((void *)start, end - start, MADV_DONTNEED);
  }
  return 0;
}

void bh_unmap_clean_code(void) {
  uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
  dl_iterate_phdr(drop_segments, &page);
}

int bh_listen_loopback(int version, uint16_t port) {
  struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
  const struct sockaddr *address = version == 6 ? (const struct sockaddr *)&v6 : (const struct sockaddr *)&v4;
  int on = 1, fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(fd, address, version == 6 ? sizeof v6 : sizeof v4) != 0 || listen(fd, 128) != 0) {
    int number = errno;
    close(fd);
    errno = number;
    return -1;
  }
  return fd;
}

uint16_t bh_local_port(int fd) {
  struct sockaddr_storage address;
  socklen_t length = sizeof address;
  if (getsockname(fd, (struct sockaddr *)&address, &length) != 0) return 0;
  if (address.ss_family == AF_INET6) return ntohs(((struct sockaddr_in6 *)&address)->sin6_port);
  return ntohs(((struct sockaddr_in *)&address)->sin_port);
}
