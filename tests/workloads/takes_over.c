/* SPDX-License-Identifier: Apache-2.0 */
/*
 * takes_over OTHER: leaves a socket that was read in FUNCTION, and then becomes the program OTHER. Both are built from
 * this file as static programs that are not relocated, so that the other one's function lies at the same address.
 */
#include "puppet.h"

#ifndef FUNCTION
#define FUNCTION touched_the_socket
#endif

CODE_PATH void FUNCTION(int fd)
{
	char buffer[10];
	long n = recv(fd, buffer, sizeof(buffer), MSG_WAITALL);

	say("{\"event\": \"read\", \"bytes\": %ld, \"function\": %lu}", n, (unsigned long)&FUNCTION);
	STAY();
}

int main(int argc, char **argv)
{
	workload_start();
	if (argc < 2) {
		say("{\"event\": \"became\", \"function\": %lu}", (unsigned long)&FUNCTION);
		await("end");
		return 0;
	}
	say_process("program", getpid());
	struct puppet peer = puppet_server("4");

	await("open");
	int fd = connect_to(&peer.address);
	int which = tell(&peer, ACCEPT_ONE, 0, 0);

	tell(&peer, SEND_BYTES, which, 10);
	FUNCTION(fd);
	say_socket("program", fd);
	tell(&peer, HANG_UP, EVERY_SOCKET, 0);
	execl(argv[1], argv[1], (char *)NULL);
	fail("execl");
}
