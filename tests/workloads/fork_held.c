/* SPDX-License-Identifier: Apache-2.0 */
/* fork_held [reset]: a parent that closes its connection, not knowing that the child it forked holds it too. */
#include "puppet.h"

CODE_PATH void use_and_close(int fd)
{
	char buffer[10];
	long n = recv(fd, buffer, sizeof(buffer), MSG_WAITALL);

	say_touch("recv", fd, n);
	say_socket("program", fd);
	close(fd);
	STAY();
}

int main(int argc, char **argv)
{
	workload_start();
	say_process("program", getpid());
	struct puppet peer = puppet_server("4");

	await("open");
	int fd = connect_to(&peer.address);

	tell(&peer, ACCEPT_ONE, 0, 0);
	tell(&peer, SEND_BYTES, 0, 10);
	pid_t child = fork();

	if (child == 0) {
		bounded_life();
		prctl(PR_SET_NAME, "holder");
		close(peer.control);
		for (;;)
			pause();
	}
	say_process("child", child);
	use_and_close(fd);
	await("peer hangs up");
	tell(&peer, argc > 1 && strcmp(argv[1], "reset") == 0 ? RESET_IT : HANG_UP, EVERY_SOCKET, 0);
	await("end");
	kill(child, SIGKILL);
	return 0;
}
