// What Benchmarks/files.py runs in a container and on the host: one kind of file I/O, timed from inside,
// so that starting a process is not measured.
//
//   iobench write PATH BYTES OFFSET   sequential, 1 MiB a call, and fsync: bytes a second
//   iobench read PATH BYTES OFFSET    the same from a cold page cache
//   iobench random PATH BYTES OFFSET  4 KiB at 2000 random places, cold: calls a second
//   iobench meta PATH COUNT           create, stat and unlink of COUNT files: operations a second
//   iobench where PATH                where on its disk a file begins, in bytes
//   iobench touch                     use all free memory but 16 MiB once
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK = 1 << 20, SMALL = 4096, PLACES = 2000 };

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static void touch_memory(void) {
  struct sysinfo info;
  sysinfo(&info);
  long bytes = (long)info.freeram * info.mem_unit - (16L << 20);
  if (bytes <= 0) return;
  char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (memory == MAP_FAILED || munmap(memory, bytes) != 0) fail("mmap");
}

static double transfer(const char *path, int writing, long bytes, long offset) {
  int fd = open(path, writing ? O_WRONLY | O_CREAT : O_RDONLY, 0600);
  char *buffer = malloc(BLOCK);
  if (fd < 0 || !buffer) fail(path);
  memset(buffer, 'x', BLOCK);
  if (!writing) posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
  double start = now();
  for (long done = 0; done < bytes;) {
    ssize_t n = writing ? pwrite(fd, buffer, BLOCK, offset + done) : pread(fd, buffer, BLOCK, offset + done);
    if (n <= 0) fail(path);
    done += n;
  }
  if (writing && fsync(fd) != 0) fail("fsync");
  return (double)bytes / (now() - start);
}

static double random_reads(const char *path, long bytes, long offset) {
  int fd = open(path, O_RDONLY);
  char buffer[SMALL];
  if (fd < 0) fail(path);
  posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
  posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
  srandom(1);
  double start = now();
  for (int i = 0; i < PLACES; i++)
    if (pread(fd, buffer, SMALL, offset + random() % (bytes / SMALL) * SMALL) != SMALL) fail(path);
  return PLACES / (now() - start);
}

static double metadata(const char *path, long count) {
  char name[4096];
  struct stat status;
  double start = now();
  for (int step = 0; step < 3; step++)
    for (long i = 0; i < count; i++) {
      snprintf(name, sizeof name, "%s/f%ld", path, i);
      int fd = step == 0 ? open(name, O_WRONLY | O_CREAT | O_EXCL, 0600) : -1;
      if (step == 0 ? fd < 0 : step == 1 ? stat(name, &status) != 0 : unlink(name) != 0) fail(name);
      if (fd >= 0) close(fd);
    }
  return 3.0 * (double)count / (now() - start);
}

static unsigned long long place(const char *path) {
  struct {
    struct fiemap map;
    struct fiemap_extent first;
  } request = {.map = {.fm_length = 1, .fm_flags = FIEMAP_FLAG_SYNC, .fm_extent_count = 1}};
  int fd = open(path, O_RDONLY);
  if (fd < 0 || ioctl(fd, FS_IOC_FIEMAP, &request.map) != 0 || request.map.fm_mapped_extents != 1) fail(path);
  return request.map.fm_extents[0].fe_physical;
}

int main(int argc, char **argv) {
  if (argc == 2 && !strcmp(argv[1], "touch")) {
    touch_memory();
    return 0;
  }
  if (argc == 3 && !strcmp(argv[1], "where")) {
    printf("%llu\n", place(argv[2]));
    return 0;
  }
  if (argc < 4) return 64;
  long size = atol(argv[3]), offset = argc > 4 ? atol(argv[4]) : 0;
  double result = 0;
  if (!strcmp(argv[1], "write")) result = transfer(argv[2], 1, size, offset);
  else if (!strcmp(argv[1], "read")) result = transfer(argv[2], 0, size, offset);
  else if (!strcmp(argv[1], "random")) result = random_reads(argv[2], size, offset);
  else if (!strcmp(argv[1], "meta")) result = metadata(argv[2], size);
  else return 64;
  printf("%.0f\n", result);
  return 0;
}
