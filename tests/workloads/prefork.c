/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prefork: a master without sockets of its own. One worker is there from the start, another is forked when the first
 * step is taken; each opens two connections in that step and keeps them.
 */
#include "puppet.h"

CODE_PATH void fetch(struct puppet *peer)
{
	char buffer[10];
	int fd = connect_to(&peer->address);

	tell(peer, ACCEPT_ONE, 0, 0);
	(void)recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT);
	say_socket("child", fd);
	STAY();
}

CODE_PATH void work(struct puppet *peer, int orders, int done)
{
	char byte;

	bounded_life();
	prctl(PR_SET_NAME, "worker");
	if (read(orders, &byte, 1) != 1)
		_exit(0);
	fetch(peer);
	fetch(peer);
	(void)!write(done, "d", 1);
	for (;;)
		pause();
}

static pid_t worker(struct puppet *peer, int orders, int done)
{
	pid_t child = fork();

	if (child == 0)
		work(peer, orders, done);
	say_process("child", child);
	return child;
}

int main(void)
{
	int orders[2], done[2];
	pid_t children[2];
	char byte;

	workload_start();
	say_process("program", getpid());
	struct puppet peer = puppet_server("4");

	if (pipe(orders) < 0 || pipe(done) < 0)
		fail("pipe");
	children[0] = worker(&peer, orders[0], done[1]);
	await("open");
	for (int i = 0; i < 2; i++) {
		if (i == 1)
			children[1] = worker(&peer, orders[0], done[1]);
		(void)!write(orders[1], "o", 1);
		if (read(done[0], &byte, 1) != 1)
			fail("worker");
	}
	await("peer hangs up");
	tell(&peer, HANG_UP, EVERY_SOCKET, 0);
	await("end");
	kill(children[0], SIGKILL);
	kill(children[1], SIGKILL);
	return 0;
}
