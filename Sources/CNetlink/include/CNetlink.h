// rtnetlink(7), and the two system interfaces for which Swift lacks the structures: opening a netlink socket
// and making a tap. Functions return -1 and leave errno.
#pragma once
#include <linux/pkt_cls.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>
#include <stdint.h>
#include <sys/types.h>

// A bound NETLINK_ROUTE socket of the calling thread's network namespace, whose reads give up (EAGAIN) after
// `timeout` seconds.
int netlink_open(int timeout);
// Sends to the kernel.
ssize_t netlink_send(int socket, const void *data, size_t length);
// Receives one datagram of the kernel's; EMSGSIZE if it did not fit, EPERM if somebody else sent it.
ssize_t netlink_receive(int socket, void *data, size_t length);

// Makes a persistent tap device in the calling thread's network namespace that user and group `owner` may
// open, with the header that carries offloads (IFF_VNET_HDR); EBUSY if the name is taken.
int netlink_make_tap(const char *name, uid_t owner, int multi_queue);
