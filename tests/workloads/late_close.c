/* SPDX-License-Identifier: Apache-2.0 */
/* late_close: the program leaves its connection in CLOSE_WAIT for a while, then closes it. */
#include "puppet.h"

CODE_PATH void close_at_last(int fd)
{
	say_socket_as("closing", "program", fd, now_realtime());
	close(fd);
	STAY();
}

int main(void)
{
	workload_start();
	say_process("program", getpid());
	struct puppet peer = puppet_server("4");

	await("open");
	int fd = connect_to(&peer.address);

	tell(&peer, ACCEPT_ONE, 0, 0);
	say_socket("program", fd);
	await("peer hangs up");
	tell(&peer, HANG_UP, EVERY_SOCKET, 0);
	await("close");
	close_at_last(fd);
	await("end");
	return 0;
}
