// net: what the network tests run at both ends.
//   net serve PORT                       TCP and UDP, IPv4 and IPv6, until it is killed
//   net mirror PORT                      TCP, each connection gets back what it sends, until it is killed
//   net vsock PORT BYTES                 takes vsock connections, sends that much to each, until it is killed
//   net write BYTES                      writes that much to its standard output
//   net echo ADDRESS PORT TEXT           prints what the server answers over TCP
//   net send|receive ADDRESS PORT BYTES  moves that much over TCP and checks every byte; prints MB/s
// A TCP client says what it wants by one byte and, for bulk, eight bytes of length: 'e' the server echoes
// and prefixes the client's address, 's' the server sends, 'r' it receives and answers how much was right.
// UDP datagrams are echoed.
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

enum { BLOCK = 1 << 20 };
static uint8_t pattern[BLOCK], incoming[BLOCK];

static void die(const char *what) {
  fprintf(stderr, "net: %s: %s\n", what, strerror(errno));
  exit(1);
}

static void make_pattern(void) {
  uint64_t state = 88172645463325252u;
  for (size_t i = 0; i < BLOCK; i += 8) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    memcpy(pattern + i, &state, 8);
  }
}

// Each block begins with its number, so that lost or repeated blocks show.
static void send_bulk(int fd, uint64_t length) {
  for (uint64_t at = 0, number = 0; at < length; number++) {
    memcpy(pattern, &number, 8);
    size_t size = length - at < BLOCK ? length - at : BLOCK, sent = 0;
    while (sent < size) {
      ssize_t n = write(fd, pattern + sent, size - sent);
      if (n <= 0) die("write");
      sent += n;
    }
    at += size;
  }
}

static uint64_t receive_bulk(int fd, uint64_t length) {
  uint64_t at = 0;
  for (uint64_t number = 0; at < length; number++) {
    size_t size = length - at < BLOCK ? length - at : BLOCK, got = 0;
    while (got < size) {
      ssize_t n = read(fd, incoming + got, size - got);
      if (n <= 0) return at + got;
      got += n;
    }
    memcpy(pattern, &number, 8);
    if (memcmp(pattern, incoming, size) != 0) return at;
    at += size;
  }
  return at;
}

static uint64_t read_length(int fd) {
  uint64_t length;
  if (read(fd, &length, 8) != 8) exit(1);
  return be64toh(length);
}

static void converse(int fd, struct sockaddr_storage *peer, socklen_t peer_length) {
  char command, text[4096], name[64];
  if (read(fd, &command, 1) != 1) exit(1);
  if (command == 's') send_bulk(fd, read_length(fd));
  if (command == 'r') {
    uint64_t right = htobe64(receive_bulk(fd, read_length(fd)));
    if (write(fd, &right, 8) != 8) exit(1);
  }
  if (command == 'e') {
    getnameinfo((struct sockaddr *)peer, peer_length, name, sizeof name, NULL, 0, NI_NUMERICHOST);
    dprintf(fd, "%s ", name);
    for (ssize_t n; (n = read(fd, text, sizeof text)) > 0;)
      if (write(fd, text, n) != n) exit(1);
  }
  exit(0);
}

static int listen_on(int type, uint16_t port) {
  int fd = socket(AF_INET6, type, 0), on = 1, off = 0;
  struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  if (bind(fd, (struct sockaddr *)&any, sizeof any) || (type == SOCK_STREAM && listen(fd, 64))) die("bind");
  return fd;
}

static void serve(uint16_t port) {
  struct pollfd waits[] = {{listen_on(SOCK_STREAM, port), POLLIN, 0}, {listen_on(SOCK_DGRAM, port), POLLIN, 0}};
  signal(SIGCHLD, SIG_IGN);
  puts("serving");
  fflush(stdout);
  for (;;) {
    struct sockaddr_storage peer;
    socklen_t length = sizeof peer;
    if (poll(waits, 2, -1) < 0) continue;
    if (waits[1].revents) {
      ssize_t n = recvfrom(waits[1].fd, incoming, BLOCK, 0, (struct sockaddr *)&peer, &length);
      if (n >= 0) sendto(waits[1].fd, incoming, n, 0, (struct sockaddr *)&peer, length);
    }
    if (!waits[0].revents) continue;
    int fd = accept(waits[0].fd, (struct sockaddr *)&peer, &length);
    if (fd >= 0 && fork() == 0) converse(fd, &peer, length);
    if (fd >= 0) close(fd);
  }
}

static void mirror(uint16_t port) {
  int listener = listen_on(SOCK_STREAM, port);
  signal(SIGCHLD, SIG_IGN);
  puts("serving");
  fflush(stdout);
  for (;;) {
    int fd = accept(listener, NULL, NULL);
    if (fd >= 0 && fork() == 0) {
      for (ssize_t n; (n = read(fd, incoming, BLOCK)) > 0;)
        for (ssize_t sent = 0, m; sent < n; sent += m)
          if ((m = write(fd, incoming + sent, n - sent)) < 0) exit(1);
      exit(0);
    }
    close(fd);
  }
}

static void serve_vsock(uint32_t port, uint64_t length) {
  struct sockaddr_vm any = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = port};
  int listener = socket(AF_VSOCK, SOCK_STREAM, 0);
  if (bind(listener, (struct sockaddr *)&any, sizeof any) || listen(listener, 8)) die("vsock");
  puts("serving");
  fflush(stdout);
  for (;;) {
    int fd = accept(listener, NULL, NULL);
    if (fd < 0) continue;
    for (uint64_t left = length; left;) {
      ssize_t n = write(fd, pattern, left < BLOCK ? left : BLOCK);
      if (n <= 0) break;
      left -= n;
    }
    close(fd);
  }
}

static int dial(const char *address, const char *port) {
  struct addrinfo *found, hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
  if (getaddrinfo(address, port, &hints, &found)) die("address");
  int fd = socket(found->ai_family, SOCK_STREAM, 0);
  struct timeval limit = {.tv_sec = 5};
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  if (connect(fd, found->ai_addr, found->ai_addrlen)) die("connect");
  limit.tv_sec = 0;
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  return fd;
}

int main(int count, char **words) {
  make_pattern();
  if (count == 3 && !strcmp(words[1], "serve")) serve(atoi(words[2]));
  if (count == 3 && !strcmp(words[1], "mirror")) mirror(atoi(words[2]));
  if (count == 3 && !strcmp(words[1], "write")) return send_bulk(1, strtoull(words[2], NULL, 10)), 0;
  if (count == 4 && !strcmp(words[1], "vsock")) serve_vsock(atoi(words[2]), strtoull(words[3], NULL, 10));
  if (count != 5) return fprintf(stderr, "usage: see net.c\n"), 2;
  int fd = dial(words[2], words[3]);
  if (!strcmp(words[1], "echo")) {
    dprintf(fd, "e%s", words[4]);
    shutdown(fd, SHUT_WR);
    for (ssize_t n; (n = read(fd, incoming, BLOCK)) > 0;) fwrite(incoming, 1, n, stdout);
    return 0;
  }
  uint64_t length = strtoull(words[4], NULL, 10), wire = htobe64(length), right;
  struct timespec start, end;
  clock_gettime(CLOCK_MONOTONIC, &start);
  int sends = !strcmp(words[1], "send");
  if (write(fd, sends ? "r" : "s", 1) != 1 || write(fd, &wire, 8) != 8) die("write");
  if (sends) {
    send_bulk(fd, length);
    right = read_length(fd);
  } else {
    right = receive_bulk(fd, length);
  }
  clock_gettime(CLOCK_MONOTONIC, &end);
  double seconds = (double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) / 1e9;
  if (right != length) return printf("only %llu of %llu bytes are right\n", (unsigned long long)right, (unsigned long long)length), 1;
  printf("%.1f MB/s\n", (double)length / 1e6 / seconds);
  return 0;
}
