/* SPDX-License-Identifier: Apache-2.0 */
/* server_leak [COUNT]: a server that answers each request and never looks at the connection again; clients hang up. */
#include "puppet.h"

CODE_PATH void answer(int fd)
{
	long n = read_exactly(fd, 20);

	(void)n;
	n = send(fd, "0123456789", 10, MSG_NOSIGNAL);
	say_touch("send", fd, n);
	STAY();
}

CODE_PATH int accept_client(int listener)
{
	int fd = accept(listener, NULL, NULL);

	say_touch("accept", fd, fd);
	return fd;
}

CODE_PATH void serve(int listener)
{
	int fd = accept_client(listener);

	answer(fd);
	say_socket("program", fd);
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
		int which = tell(&client, CONNECT_TO, 0, 0);

		tell(&client, SEND_BYTES, which, 20);
		serve(listener);
		tell(&client, READ_BYTES, which, 10);
	}
	await("clients hang up");
	tell(&client, HANG_UP, EVERY_SOCKET, 0);
	await("end");
	return 0;
}
