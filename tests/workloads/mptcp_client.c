/* SPDX-License-Identifier: Apache-2.0 */
/* mptcp_client: three MPTCP connections between two processes of its own; the server's side hangs up. */
#include "workload.h"

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif
#define COUNT 3

static int multipath(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP);

	if (fd < 0)
		fail("socket");
	return fd;
}

static void serve(int listener, int orders)
{
	int fds[COUNT];
	char byte;

	bounded_life();
	for (int i = 0; i < COUNT; i++)
		fds[i] = accept(listener, NULL, NULL);
	if (read(orders, &byte, 1) != 1)
		_exit(0);
	for (int i = 0; i < COUNT; i++)
		close(fds[i]);
	for (;;)
		pause();
}

int main(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);
	int listener = multipath(), orders[2];

	workload_start();
	say_process("program", getpid());
	if (bind(listener, (struct sockaddr *)&address, size) < 0 || listen(listener, COUNT) < 0 ||
	    getsockname(listener, (struct sockaddr *)&address, &size) < 0 || pipe(orders) < 0)
		fail("listen");
	pid_t peer = fork();

	if (peer == 0) {
		close(orders[1]);
		serve(listener, orders[0]);
	}
	close(listener);
	await("open");
	for (int i = 0; i < COUNT; i++) {
		int fd = multipath();

		if (connect(fd, (struct sockaddr *)&address, size) < 0)
			fail("connect");
		say_socket("program", fd);
	}
	await("peer hangs up");
	(void)!write(orders[1], "h", 1);
	await("end");
	kill(peer, SIGKILL);
	return 0;
}
