/* SPDX-License-Identifier: Apache-2.0 */
/* linger_zero: after the peer's FIN the program closes with SO_LINGER 0, so that the peer gets an RST. Nothing lingers.
 */
#include "puppet.h"

CODE_PATH void abort_connection(int fd)
{
	struct linger now = {1, 0};

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
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
	await("peer says FIN");
	tell(&peer, HALF_CLOSE, 0, 0);
	await("abort");
	abort_connection(fd);
	await("end");
	return 0;
}
