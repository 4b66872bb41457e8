// What Swift cannot say about memory that another machine changes while we read it (volatile,
// acquire and release), and messages that carry descriptors, whose macros are C's.
#pragma once
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

// One entry of a descriptor table (virtio 1.2, 2.7.5). Packed: an indirect table may lie unaligned.
typedef struct __attribute__((packed)) {
  uint64_t address;
  uint32_t length;
  uint16_t flags;
  uint16_t next;
} cvhost_descriptor;

// Every field is read once, so that what was checked is what is used.
static inline cvhost_descriptor cvhost_load_descriptor(const void *from) {
  const volatile cvhost_descriptor *shared = (const volatile cvhost_descriptor *)from;
  cvhost_descriptor copy;
  copy.address = shared->address;
  copy.length = shared->length;
  copy.flags = shared->flags;
  copy.next = shared->next;
  return copy;
}

static inline uint16_t cvhost_load16(const void *from) {
  return __atomic_load_n((const uint16_t *)from, __ATOMIC_RELAXED);
}
static inline uint16_t cvhost_load16_acquire(const void *from) {
  return __atomic_load_n((const uint16_t *)from, __ATOMIC_ACQUIRE);
}
static inline void cvhost_store16(void *to, uint16_t value) {
  __atomic_store_n((uint16_t *)to, value, __ATOMIC_RELAXED);
}
static inline void cvhost_store16_release(void *to, uint16_t value) {
  __atomic_store_n((uint16_t *)to, value, __ATOMIC_RELEASE);
}
static inline void cvhost_store32(void *to, uint32_t value) {
  __atomic_store_n((uint32_t *)to, value, __ATOMIC_RELAXED);
}
static inline void cvhost_fence(void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }

// Copies out of shared memory; the compiler may not look at the source again afterwards.
static inline void cvhost_copy(void *to, const void *from, size_t count) {
  memcpy(to, from, count);
  __asm__ volatile("" ::: "memory");
}

// recvmsg(2) of at most `count` bytes and `limit` descriptors, which arrive close-on-exec. More
// descriptors than that is EMSGSIZE, and those that came are closed.
ssize_t cvhost_receive(int socket, void *bytes, size_t count, int *descriptors, int limit, int *received);

// accept4(2), the new socket non-blocking and close-on-exec.
int cvhost_accept(int listener);
