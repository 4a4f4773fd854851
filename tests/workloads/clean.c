/* SPDX-License-Identifier: Apache-2.0 */
/* clean [COUNT]: connects, asks, reads the answer and the end, closes. Nothing to find. */
#include "puppet.h"

CODE_PATH void tidy_request(struct puppet *peer)
{
	int fd = connect_to(&peer->address);
	int which = tell(peer, ACCEPT_ONE, 0, 0);
	char buffer[64];

	say_socket("program", fd);
	send_exactly(fd, 20);
	tell(peer, READ_BYTES, which, 20);
	tell(peer, SEND_BYTES, which, 30);
	tell(peer, HANG_UP, which, 0);
	while (recv(fd, buffer, sizeof(buffer), 0) > 0)
		;
	say_socket_as("closing", "program", fd, now_realtime());
	close(fd);
	STAY();
}

int main(int argc, char **argv)
{
	int count = argc > 1 ? atoi(argv[1]) : 5;

	workload_start();
	say_process("program", getpid());
	struct puppet peer = puppet_server("4");

	await("work");
	for (int i = 0; i < count; i++)
		tidy_request(&peer);
	await("end");
	return 0;
}
