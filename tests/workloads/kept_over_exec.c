/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kept_over_exec HOW OTHER: reads from a socket and leaves it open over exec of the program OTHER, another build of
 * this file or the same one. HOW: "exec" in the same process, "standard" with the socket as standard error, "closed"
 * with close-on-exec, "used" with the socket's number as an argument, so that OTHER reads it; "fork" and "spawn" in a
 * child, after which the parent closes its own; "both" keeps it.
 */
#include "puppet.h"

#include <fcntl.h>
#include <spawn.h>

extern char **environ;

CODE_PATH void use_and_forget(int fd)
{
	char buffer[10];
	long n = recv(fd, buffer, sizeof(buffer), MSG_WAITALL);

	say_touch("recv", fd, n);
	say_socket("program", fd);
	STAY();
}

/* Returns once the child has become the other program: then its end of the pipe is closed. */
static pid_t fork_and_exec(const char *other)
{
	int ends[2];
	char byte;

	if (pipe2(ends, O_CLOEXEC) < 0)
		fail("pipe2");
	pid_t child = fork();

	if (child == 0) {
		execl(other, other, "holder", (char *)NULL);
		fail("execl");
	}
	close(ends[1]);
	if (read(ends[0], &byte, 1) != 0)
		fail("read");
	close(ends[0]);
	return child;
}

static pid_t spawn(const char *other)
{
	char *words[] = {(char *)other, "holder", NULL};
	pid_t child;

	if (posix_spawn(&child, other, NULL, NULL, words, environ) != 0)
		fail("posix_spawn");
	return child;
}

static void become(const char *other, const char *how, int fd)
{
	char number[16];

	snprintf(number, sizeof(number), "%d", fd);
	execl(other, other, "became", strcmp(how, "used") == 0 ? number : NULL, (char *)NULL);
	fail("execl");
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "holder") == 0) {
		bounded_life();
		for (;;)
			pause();
	}
	workload_start();
	if (strcmp(argv[1], "became") == 0) {
		if (argc > 2)
			use_and_forget(atoi(argv[2]));
		await("end");
		return 0;
	}
	const char *how = argv[1];

	say_process("program", getpid());
	struct puppet peer = puppet_server("4");

	await("open");
	int fd = connect_to(&peer.address);

	tell(&peer, ACCEPT_ONE, 0, 0);
	tell(&peer, SEND_BYTES, 0, 10);
	if (strcmp(how, "standard") == 0) {
		dup2(fd, 2);
		close(fd);
		fd = 2;
	}
	use_and_forget(fd);
	await("peer hangs up");
	tell(&peer, HANG_UP, EVERY_SOCKET, 0);
	await("exec");
	if (strcmp(how, "closed") == 0)
		fcntl(fd, F_SETFD, FD_CLOEXEC);
	if (strcmp(how, "fork") != 0 && strcmp(how, "spawn") != 0 && strcmp(how, "both") != 0)
		become(argv[2], how, fd);
	pid_t child = strcmp(how, "spawn") == 0 ? spawn(argv[2]) : fork_and_exec(argv[2]);

	say_process("child", child);
	if (strcmp(how, "both") != 0)
		close(fd);
	await("end");
	kill(child, SIGKILL);
	return 0;
}
