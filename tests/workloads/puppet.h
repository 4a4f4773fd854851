/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The other end of the connections: a second process that does what it is told, one order at a time, and tells the
 * test when it hung up. The orders travel over a socketpair, so that nothing but the workload's own sockets is TCP.
 */
#ifndef PUPPET_H
#define PUPPET_H

#include "workload.h"

#define PUPPET_SOCKETS 4096
#define EVERY_SOCKET (-1)

enum order { LISTEN_ON, CONNECT_TO, ACCEPT_ONE, READ_BYTES, SEND_BYTES, HALF_CLOSE, HANG_UP, RESET_IT };

struct command {
	enum order order;
	int which;  /* socket by order of arrival, or EVERY_SOCKET */
	int amount; /* bytes, or a port */
	struct sockaddr_storage address;
};

struct puppet {
	pid_t pid;
	int control;
	struct sockaddr_storage address; /* where it listens, once told to */
};

MAYBE static socklen_t address_size(const struct sockaddr_storage *address)
{
	return address->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
}

/* "4": 127.0.0.1, "6": ::1, "mapped": 127.0.0.1 written as ::ffff:127.0.0.1. */
MAYBE static struct sockaddr_storage loopback(const char *family, int port)
{
	struct sockaddr_storage address = {0};

	if (strcmp(family, "4") == 0) {
		struct sockaddr_in *in = (struct sockaddr_in *)&address;

		in->sin_family = AF_INET;
		in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		in->sin_port = htons((uint16_t)port);
		return address;
	}
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&address;

	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons((uint16_t)port);
	inet_pton(AF_INET6, strcmp(family, "6") == 0 ? "::1" : "::ffff:127.0.0.1", &in6->sin6_addr);
	return address;
}

MAYBE static int listen_on(struct sockaddr_storage *address)
{
	socklen_t size = address_size(address);
	int fd = socket(address->ss_family, SOCK_STREAM, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)address, size) < 0 || listen(fd, 4096) < 0)
		fail("listen");
	if (getsockname(fd, (struct sockaddr *)address, &size) < 0)
		fail("getsockname");
	return fd;
}

MAYBE static int connect_to(const struct sockaddr_storage *address)
{
	int fd = socket(address->ss_family, SOCK_STREAM, 0);

	if (fd < 0 || connect(fd, (const struct sockaddr *)address, address_size(address)) < 0)
		fail("connect");
	return fd;
}

MAYBE static long read_exactly(int fd, long bytes)
{
	char buffer[4096];
	long left = bytes;

	while (left > 0) {
		ssize_t n = recv(fd, buffer, left < (long)sizeof(buffer) ? (size_t)left : sizeof(buffer), 0);

		if (n <= 0)
			return bytes - left;
		left -= n;
	}
	return bytes;
}

MAYBE static long send_exactly(int fd, long bytes)
{
	static const char zeros[16384] = {0};
	long left = bytes;

	while (left > 0) {
		ssize_t n = send(fd, zeros, left < (long)sizeof(zeros) ? (size_t)left : sizeof(zeros), MSG_NOSIGNAL);

		if (n <= 0)
			return bytes - left;
		left -= n;
	}
	return bytes;
}

MAYBE static void hang_up(int *fd, int reset)
{
	struct linger now = {1, 0};

	if (*fd < 0)
		return;
	if (reset)
		setsockopt(*fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	say_socket_as(reset ? "peer_reset" : "peer_close", "peer", *fd, now_realtime());
	close(*fd);
	*fd = -1;
}

MAYBE static int puppet_obey(struct command *c, int *listener, int *fds, int *count)
{
	switch (c->order) {
	case LISTEN_ON:
		*listener = listen_on(&c->address);
		return 0;
	case CONNECT_TO:
		fds[*count] = connect_to(&c->address);
		return (*count)++;
	case ACCEPT_ONE:
		fds[*count] = accept(*listener, NULL, NULL);
		if (fds[*count] < 0)
			fail("accept");
		return (*count)++;
	case READ_BYTES:
		return (int)read_exactly(fds[c->which], c->amount);
	case SEND_BYTES:
		return (int)send_exactly(fds[c->which], c->amount);
	case HALF_CLOSE:
		say_socket_as("peer_close", "peer", fds[c->which], now_realtime());
		return shutdown(fds[c->which], SHUT_WR);
	case HANG_UP:
	case RESET_IT:
		for (int i = 0; i < *count; i++)
			if (c->which == EVERY_SOCKET || c->which == i)
				hang_up(&fds[i], c->order == RESET_IT);
		return 0;
	}
	return -1;
}

MAYBE static void puppet_main(int control)
{
	static int fds[PUPPET_SOCKETS];
	struct command c;
	int listener = -1, count = 0;

	bounded_life();
	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_NAME, "puppet");
	while (recv(control, &c, sizeof(c), 0) == sizeof(c)) {
		int answer = puppet_obey(&c, &listener, fds, &count);

		send(control, &c, sizeof(c), 0);
		send(control, &answer, sizeof(answer), 0);
	}
	_exit(0);
}

MAYBE static struct puppet puppet_start(void)
{
	struct puppet p = {0};
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		fail("socketpair");
	p.pid = fork();
	if (p.pid < 0)
		fail("fork");
	if (p.pid == 0) {
		close(pair[0]);
		close(0);
		puppet_main(pair[1]);
	}
	close(pair[1]);
	p.control = pair[0];
	say_process("peer", p.pid);
	return p;
}

MAYBE static int tell(struct puppet *p, enum order order, int which, int amount)
{
	struct command c = {.order = order, .which = which, .amount = amount, .address = p->address};
	int answer = -1;

	if (send(p->control, &c, sizeof(c), 0) != sizeof(c) || recv(p->control, &c, sizeof(c), 0) != sizeof(c) ||
	    recv(p->control, &answer, sizeof(answer), 0) != sizeof(answer))
		fail("puppet");
	p->address = c.address;
	return answer;
}

/* A puppet that listens on loopback of that family, on a port of the kernel's choice. */
MAYBE static struct puppet puppet_server(const char *family)
{
	struct puppet p = puppet_start();

	p.address = loopback(family, 0);
	tell(&p, LISTEN_ON, 0, 0);
	return p;
}

#endif
