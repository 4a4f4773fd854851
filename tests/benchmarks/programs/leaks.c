/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leaks RATE PATHS EVERY HOLD: opens RATE connections per second on PATHS call paths to a server in another process.
 * That answers and closes. The program closes its side at once, but keeps each EVERY-th connection for HOLD seconds:
 * so leaks come and go. Once a second it prints {"made": N, "kept": N}. It runs until it is killed.
 */
#include "bench.h"
#include "paths.h"

#define MOST_KEPT 65536

struct kept {
	int fd;
	double until;
};

static int port;

__attribute__((noipa)) static int use(unsigned turn)
{
	char byte;
	int fd = connect_from(turn, port);

	if (fd >= 0 && recv(fd, &byte, 1, 0) != 1) {
		close(fd);
		fd = -1;
	}
	__asm__ volatile("");
	return fd;
}

static void serve(int listener)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		int fd = accept(listener, NULL, NULL);

		if (fd < 0)
			continue;
		if (send(fd, "x", 1, 0) != 1)
			fprintf(stderr, "leaks: send: %s\n", strerror(errno));
		close(fd);
	}
}

int main(int argc, char **argv)
{
	static struct kept kept[MOST_KEPT];
	unsigned long made = 0, first = 0, next = 0;

	if (argc != 5)
		return 64;
	bench_start();
	double rate = atof(argv[1]), hold = atof(argv[4]);
	unsigned paths = (unsigned)atoi(argv[2]), every = (unsigned)atoi(argv[3]);
	int listener = listen_on(&port);
	if (fork() == 0)
		serve(listener);
	close(listener);
	double start = now_s(), said = start;
	for (;;) {
		double now = now_s();
		if (now >= said) {
			printf("{\"made\": %lu, \"kept\": %lu}\n", made, next - first);
			said += 1;
		}
		for (; first < next && now >= kept[first % MOST_KEPT].until; first++)
			close(kept[first % MOST_KEPT].fd);
		if ((double)made >= (now - start) * rate) {
			struct timespec nap = {0, 1000000};
			nanosleep(&nap, NULL);
			continue;
		}
		int fd = step((unsigned)(made % paths), 0, (unsigned)made);
		made++;
		if (fd >= 0 && made % every == 0 && next - first < MOST_KEPT)
			kept[next++ % MOST_KEPT] = (struct kept){fd, now + hold};
		else if (fd >= 0)
			close(fd);
	}
}
