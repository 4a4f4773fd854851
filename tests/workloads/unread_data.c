/* SPDX-License-Identifier: Apache-2.0 */
/* unread_data [UNREAD]: a client that reads the first ten bytes of an answer and gives up; the peer sent more and hung
 * up. */
#include "puppet.h"

#define HEADER 10

CODE_PATH void read_header(int fd)
{
	char buffer[HEADER];
	long n = recv(fd, buffer, sizeof(buffer), MSG_WAITALL);

	say_touch("recv", fd, n);
	STAY();
}

int main(int argc, char **argv)
{
	int unread = argc > 1 ? atoi(argv[1]) : 5000;

	workload_start();
	say_process("program", getpid());
	struct puppet peer = puppet_server("4");

	await("open");
	int fd = connect_to(&peer.address);

	tell(&peer, ACCEPT_ONE, 0, 0);
	tell(&peer, SEND_BYTES, 0, HEADER + unread);
	read_header(fd);
	say_socket("program", fd);
	await("peer hangs up");
	tell(&peer, HANG_UP, EVERY_SOCKET, 0);
	await("end");
	return 0;
}
