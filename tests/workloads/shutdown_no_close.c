/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shutdown_no_close read|write: after the peer's FIN the program calls shutdown(2) and never close(2). With SHUT_RD
 * the socket stays in CLOSE_WAIT; with SHUT_WR it leaves the state, and only the descriptor leaks.
 */
#include "puppet.h"

CODE_PATH void shut(int fd, int how)
{
	int ret = shutdown(fd, how);

	say_touch("shutdown", fd, ret);
	STAY();
}

int main(int argc, char **argv)
{
	int how = argc > 1 && strcmp(argv[1], "read") == 0 ? SHUT_RD : SHUT_WR;

	workload_start();
	say_process("program", getpid());
	struct puppet peer = puppet_server("4");

	await("open");
	int fd = connect_to(&peer.address);

	tell(&peer, ACCEPT_ONE, 0, 0);
	say_socket("program", fd);
	await("peer hangs up");
	tell(&peer, HANG_UP, EVERY_SOCKET, 0);
	await("shutdown");
	shut(fd, how);
	await("end");
	return 0;
}
