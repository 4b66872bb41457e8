#define _GNU_SOURCE
#include "CVhost.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

ssize_t cvhost_receive(int socket, void *bytes, size_t count, int *descriptors, int limit,
                                     int *received) {
  union {
    char bytes[CMSG_SPACE(sizeof(int) * 16)];
    struct cmsghdr alignment;
  } control;
  struct iovec vector = {bytes, count};
  struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control.bytes,
                           .msg_controllen = sizeof control.bytes};
  *received = 0;
  ssize_t result = recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (result < 0) return result;
  int excess = (message.msg_flags & MSG_CTRUNC) != 0;
  for (struct cmsghdr *part = CMSG_FIRSTHDR(&message); part; part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    size_t total = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < total; i++) {
      int descriptor;
      memcpy(&descriptor, CMSG_DATA(part) + i * sizeof(int), sizeof(int));
      if (*received < limit) {
        descriptors[(*received)++] = descriptor;
      } else {
        close(descriptor);
        excess = 1;
      }
    }
  }
  if (!excess) return result;
  while (*received > 0) close(descriptors[--*received]);
  errno = EMSGSIZE;
  return -1;
}

int cvhost_accept(int listener) { return accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC); }
