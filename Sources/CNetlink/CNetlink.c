#define _GNU_SOURCE
#include "CNetlink.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static int close_failed(int fd) {
  int number = errno;
  close(fd);
  errno = number;
  return -1;
}

int netlink_open(int timeout) {
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (fd == -1) return -1;
  struct sockaddr_nl address = {.nl_family = AF_NETLINK};
  struct timeval limit = {.tv_sec = timeout};
  if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == -1) return close_failed(fd);
  if (bind(fd, (struct sockaddr *)&address, sizeof address) == -1) return close_failed(fd);
  return fd;
}

ssize_t netlink_send(int socket, const void *data, size_t length) {
  struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
  return sendto(socket, data, length, 0, (struct sockaddr *)&kernel, sizeof kernel);
}

ssize_t netlink_receive(int socket, void *data, size_t length) {
  struct sockaddr_nl sender = {0};
  struct iovec part = {.iov_base = data, .iov_len = length};
  struct msghdr message = {
      .msg_name = &sender, .msg_namelen = sizeof sender, .msg_iov = &part, .msg_iovlen = 1};
  ssize_t received = recvmsg(socket, &message, 0);
  if (received == -1) return -1;
  if (message.msg_flags & MSG_TRUNC) return errno = EMSGSIZE, -1;
  if (sender.nl_pid != 0) return errno = EPERM, -1;
  return received;
}

int netlink_make_tap(const char *name, uid_t owner, int multi_queue) {
  struct ifreq request = {0};
  if (strlen(name) >= sizeof request.ifr_name) return errno = ENAMETOOLONG, -1;
  strcpy(request.ifr_name, name);
  // Without it an existing device of that name would be taken over.
  int flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_TUN_EXCL | (multi_queue ? IFF_MULTI_QUEUE : 0);
  request.ifr_flags = (short)flags;
  int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
  if (fd == -1) return -1;
  if (ioctl(fd, TUNSETIFF, &request) == -1) return close_failed(fd);
  if (ioctl(fd, TUNSETOWNER, (unsigned long)owner) == -1) return close_failed(fd);
  if (ioctl(fd, TUNSETGROUP, (unsigned long)owner) == -1) return close_failed(fd);
  if (ioctl(fd, TUNSETPERSIST, 1) == -1) return close_failed(fd);
  return close(fd);
}
