/* SPDX-License-Identifier: Apache-2.0 */
/* fork_served [COUNT]: a server that forks a handler for each client and never closes its own copy of the socket. */
#include "puppet.h"

CODE_PATH void handle(int fd)
{
	long n = read_exactly(fd, 20);

	(void)n;
	n = send(fd, "0123456789", 10, MSG_NOSIGNAL);
	say_touch("send", fd, n);
	STAY();
}

int main(int argc, char **argv)
{
	int count = argc > 1 ? atoi(argv[1]) : 3;

	workload_start();
	say_process("program", getpid());
	struct puppet client = puppet_start();

	client.address = loopback("4", 0);
	int listener = listen_on(&client.address);

	await("serve");
	for (int i = 0; i < count; i++) {
		int which = tell(&client, CONNECT_TO, 0, 0), status;

		tell(&client, SEND_BYTES, which, 20);
		int fd = accept(listener, NULL, NULL);
		pid_t child = fork();

		if (child == 0) {
			bounded_life();
			prctl(PR_SET_NAME, "handler");
			handle(fd);
			_exit(0);
		}
		say_process("child", child);
		say_socket("program", fd);
		tell(&client, READ_BYTES, which, 10);
		waitpid(child, &status, 0);
	}
	await("clients hang up");
	tell(&client, HANG_UP, EVERY_SOCKET, 0);
	await("end");
	return 0;
}
