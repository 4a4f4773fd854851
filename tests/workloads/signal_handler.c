/* SPDX-License-Identifier: Apache-2.0 */
/* signal_handler: the socket is touched inside a signal handler, so that the stack crosses the kernel's signal frame.
 */
#include "puppet.h"

static int fd;

CODE_PATH void read_in_handler(void)
{
	char buffer[10];
	long n = recv(fd, buffer, sizeof(buffer), MSG_WAITALL);

	say_touch("recv", fd, n);
	STAY();
}

CODE_PATH void on_signal(int number)
{
	(void)number;
	read_in_handler();
	STAY();
}

CODE_PATH void interrupted_work(void)
{
	kill(getpid(), SIGUSR1); /* delivered on the way out of this very call */
	STAY();
}

int main(void)
{
	struct sigaction action = {.sa_handler = on_signal};

	workload_start();
	sigaction(SIGUSR1, &action, NULL);
	say_process("program", getpid());
	struct puppet peer = puppet_server("4");

	await("open");
	fd = connect_to(&peer.address);
	tell(&peer, ACCEPT_ONE, 0, 0);
	tell(&peer, SEND_BYTES, 0, 10);
	interrupted_work();
	say_socket("program", fd);
	await("peer hangs up");
	tell(&peer, HANG_UP, EVERY_SOCKET, 0);
	await("end");
	return 0;
}
