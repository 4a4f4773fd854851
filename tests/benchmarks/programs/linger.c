/* SPDX-License-Identifier: Apache-2.0 */
/*
 * linger SOCKETS PATHS: each line on stdin starts a step. First: opens and uses SOCKETS connections to a server in
 * another process, on PATHS call paths, and prints {"made": N}. Second: the server closes, and when all sockets are in
 * CLOSE_WAIT it prints {"hung_up": N, "late": N, "at": SECONDS}. Third: it ends. Between the steps it does not use the
 * sockets.
 */
#include "bench.h"
#include "paths.h"

static int port;

__attribute__((noipa)) static int use(unsigned turn)
{
	char byte = 'x';
	int fd = connect_from(turn, port);

	if (fd < 0 || send(fd, &byte, 1, 0) != 1 || recv(fd, &byte, 1, 0) != 1)
		die("use");
	__asm__ volatile("");
	return fd;
}

static void serve(int listener, int count, int orders, int done)
{
	int *fds = calloc((size_t)count, sizeof(int));
	char byte;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (int i = 0; i < count; i++) {
		fds[i] = accept(listener, NULL, NULL);
		if (fds[i] < 0 || recv(fds[i], &byte, 1, 0) != 1 || send(fds[i], &byte, 1, 0) != 1)
			die("serve");
	}
	if (read(orders, &byte, 1) == 1)
		for (int i = 0; i < count; i++)
			close(fds[i]);
	if (write(done, "x", 1) != 1)
		die("done");
	pause();
}

/* Waits for the last FIN. If the backlog queue was full, FIN comes again after 200 ms. Returns how many were late. */
static int await_close_wait(const int *fds, int count)
{
	int late = 0;

	for (int i = 0; i < count; i++) {
		struct tcp_info info = {0};
		socklen_t size = sizeof(info);
		int waited = 0;

		while (!getsockopt(fds[i], IPPROTO_TCP, TCP_INFO, &info, &size) && info.tcpi_state == TCP_ESTABLISHED) {
			waited = 1;
			usleep(1000);
		}
		late += waited;
	}
	return late;
}

static void next_line(void)
{
	char line[64];

	if (!fgets(line, sizeof(line), stdin))
		_exit(0);
}

int main(int argc, char **argv)
{
	int orders[2], done[2];
	char byte;

	if (argc != 3)
		return 64;
	bench_start();
	int count = atoi(argv[1]), listener = listen_on(&port);
	unsigned paths = (unsigned)atoi(argv[2]);
	if (pipe(orders) || pipe(done))
		die("pipe");
	pid_t server = fork();
	if (server == 0)
		serve(listener, count, orders[0], done[1]);
	close(listener);
	int *fds = calloc((size_t)count, sizeof(int));
	next_line();
	for (int i = 0; i < count; i++)
		fds[i] = step((unsigned)i % paths, 0, (unsigned)i);
	printf("{\"made\": %d}\n", count);
	next_line();
	if (write(orders[1], "x", 1) != 1 || read(done[0], &byte, 1) != 1)
		die("hang up");
	int late = await_close_wait(fds, count);
	printf("{\"hung_up\": %d, \"late\": %d, \"at\": %.6f}\n", count, late, now_s());
	next_line();
	kill(server, SIGKILL);
	return 0;
}
