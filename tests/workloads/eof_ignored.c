/* SPDX-License-Identifier: Apache-2.0 */
/* eof_ignored [COUNT]: a client that reads until recv returns 0, takes that for "no more answers" and keeps the socket.
 */
#include "puppet.h"

CODE_PATH long poll_feed(int fd)
{
	char buffer[64];
	long n = recv(fd, buffer, sizeof(buffer), 0);

	say_touch("recv", fd, n);
	return n;
}

CODE_PATH void drain_feed(int fd)
{
	while (poll_feed(fd) > 0)
		;
	STAY();
}

int main(int argc, char **argv)
{
	int count = argc > 1 ? atoi(argv[1]) : 2;
	int fds[64];

	workload_start();
	say_process("program", getpid());
	struct puppet peer = puppet_server("4");

	await("open");
	for (int i = 0; i < count && i < 64; i++) {
		fds[i] = connect_to(&peer.address);
		tell(&peer, ACCEPT_ONE, 0, 0);
		tell(&peer, SEND_BYTES, i, 10);
		say_socket("program", fds[i]);
	}
	await("peer hangs up");
	tell(&peer, HANG_UP, EVERY_SOCKET, 0);
	for (int i = 0; i < count && i < 64; i++)
		drain_feed(fds[i]);
	await("end");
	return 0;
}
