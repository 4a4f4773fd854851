/* SPDX-License-Identifier: Apache-2.0 */
/* reset_open: the peer hangs up, then resets; the descriptor stays open, which no tool that lists TCP sockets shows. */
#include "puppet.h"

CODE_PATH void last_look(int fd)
{
	char buffer[10];
	long n = recv(fd, buffer, sizeof(buffer), MSG_WAITALL);

	say_touch("recv", fd, n);
	STAY();
}

/* "looks": reads once more after the reset, which tells it. */
int main(int count, char **words)
{
	workload_start();
	say_process("program", getpid());
	struct puppet peer = puppet_server("4");

	await("open");
	int fd = connect_to(&peer.address);

	tell(&peer, ACCEPT_ONE, 0, 0);
	tell(&peer, SEND_BYTES, 0, 10);
	last_look(fd);
	say_socket("program", fd);
	await("peer resets");
	tell(&peer, RESET_IT, EVERY_SOCKET, 0);
	if (count > 1 && strcmp(words[1], "looks") == 0)
		last_look(fd);
	await("end");
	return 0;
}
