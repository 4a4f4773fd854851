/* SPDX-License-Identifier: Apache-2.0 */
/* idle_pool [COUNT [FAMILY]]: a client that pools its connections and never looks at them again; the peer hangs up. */
#include "puppet.h"

#define REQUEST 120
#define RESPONSE 150

CODE_PATH void read_response(int fd)
{
	char buffer[RESPONSE];
	long n = recv(fd, buffer, sizeof(buffer), MSG_WAITALL);

	say_touch("recv", fd, n);
	STAY();
}

CODE_PATH int open_connection(struct puppet *peer)
{
	int fd = connect_to(&peer->address);

	say_touch("connect", fd, 0);
	return fd;
}

CODE_PATH void do_request(struct puppet *peer)
{
	int fd = open_connection(peer);
	int which = tell(peer, ACCEPT_ONE, 0, 0);

	send_exactly(fd, REQUEST);
	tell(peer, READ_BYTES, which, REQUEST);
	tell(peer, SEND_BYTES, which, RESPONSE);
	read_response(fd);
	say_socket("program", fd);
	STAY();
}

int main(int argc, char **argv)
{
	int count = argc > 1 ? atoi(argv[1]) : 3;

	workload_start();
	say_process("program", getpid());
	struct puppet peer = puppet_server(argc > 2 ? argv[2] : "4");

	await("open");
	for (int i = 0; i < count; i++)
		do_request(&peer);
	await("peer hangs up");
	tell(&peer, HANG_UP, EVERY_SOCKET, 0);
	await("end");
	return 0;
}
