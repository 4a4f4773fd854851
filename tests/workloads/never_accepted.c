/* SPDX-License-Identifier: Apache-2.0 */
/* never_accepted [COUNT]: a server that listens and never accepts; its clients connect, send and hang up. */
#include "puppet.h"

int main(int argc, char **argv)
{
	int count = argc > 1 ? atoi(argv[1]) : 3;

	workload_start();
	say_process("program", getpid());
	struct puppet client = puppet_start();

	await("listen");
	client.address = loopback("4", 0);
	int listener = listen_on(&client.address);

	say_socket("listener", listener);
	await("clients come and go");
	for (int i = 0; i < count; i++) {
		int which = tell(&client, CONNECT_TO, 0, 0);

		tell(&client, SEND_BYTES, which, 20);
	}
	tell(&client, HANG_UP, EVERY_SOCKET, 0);
	await("end");
	return 0;
}
