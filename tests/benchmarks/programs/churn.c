/* SPDX-License-Identifier: Apache-2.0 */
/*
 * churn PORT SECONDS [PER_SECOND]: connects, requests / by HTTP/1.1 with keep-alive, reads the answer and closes first,
 * so that the server's side passes through CLOSE_WAIT. It runs as fast as possible, or at the given rate. It prints
 * connections per second.
 */
#include "bench.h"

static const char question[] = "GET / HTTP/1.1\r\nHost: bench\r\n\r\n";

/* Returns 1 if the whole answer came. */
static int ask(int fd)
{
	char text[4096];
	size_t have = 0;

	if (send(fd, question, sizeof(question) - 1, 0) != (ssize_t)sizeof(question) - 1)
		return 0;
	while (have < sizeof(text) - 1) {
		ssize_t got = recv(fd, text + have, sizeof(text) - 1 - have, 0);
		if (got <= 0)
			return 0;
		have += (size_t)got;
		text[have] = '\0';
		char *body = strstr(text, "\r\n\r\n"), *length = strstr(text, "Content-Length: ");
		if (body && length && have >= (size_t)(body + 4 - text) + strtoul(length + 16, NULL, 10))
			return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	unsigned long done = 0, failed = 0;

	if (argc < 3)
		return 64;
	bench_start();
	int port = atoi(argv[1]);
	double rate = argc > 3 ? atof(argv[3]) : 0, start = now_s(), end = start + atof(argv[2]), now;
	while ((now = now_s()) < end) {
		if (rate > 0 && (double)(done + failed) > (now - start) * rate) {
			struct timespec nap = {0, 1000000};
			nanosleep(&nap, NULL);
			continue;
		}
		int fd = connect_from((unsigned)(done + failed), port);
		if (fd >= 0 && ask(fd))
			done++;
		else
			failed++;
		if (fd >= 0)
			close(fd);
	}
	printf("{\"connections_per_s\": %.0f, \"done\": %lu, \"failed\": %lu, \"cpu_s\": %.3f}\n",
	       (double)done / (now_s() - start), done, failed, cpu_s());
	return failed > done;
}
