/* SPDX-License-Identifier: Apache-2.0 */
/* deep_stack DEPTH BYTES [SOCKETS]: the touch happens DEPTH calls down, each call with BYTES of alloca on its frame. */
#include "puppet.h"

#include <alloca.h>

CODE_PATH void touch_it(int fd)
{
	char buffer[10];
	long n = recv(fd, buffer, sizeof(buffer), MSG_WAITALL);

	say_touch("recv", fd, n);
	STAY();
}

CODE_PATH void descend(int fd, int depth, size_t bytes)
{
	volatile char *room = alloca(bytes);

	room[0] = (char)depth;
	if (depth > 1)
		descend(fd, depth - 1, bytes);
	else
		touch_it(fd);
	room[bytes - 1] = 1;
}

int main(int argc, char **argv)
{
	int depth = argc > 1 ? atoi(argv[1]) : 40;
	size_t bytes = argc > 2 ? (size_t)atoi(argv[2]) : 1000;
	int sockets = argc > 3 ? atoi(argv[3]) : 1;

	workload_start();
	say_process("program", getpid());
	struct puppet peer = puppet_server("4");

	await("open");
	for (int i = 0; i < sockets; i++) {
		int fd = connect_to(&peer.address);
		int which = tell(&peer, ACCEPT_ONE, 0, 0);

		tell(&peer, SEND_BYTES, which, 10);
		descend(fd, depth, bytes);
		say_socket("program", fd);
	}
	await("peer hangs up");
	tell(&peer, HANG_UP, EVERY_SOCKET, 0);
	await("end");
	return 0;
}
