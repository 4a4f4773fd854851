/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sparse_stack BYTES WHERE: the touch happens below a frame with BYTES that nobody ever writes, in the first thread
 * (main) or in one that was just started (thread). "untouched" tells how many of that frame's pages are not in memory.
 */
#include "puppet.h"

#include <alloca.h>
#include <sys/mman.h>

static struct {
	int fd;
	size_t bytes;
} job;

CODE_PATH int pages_missing(char *from, char *to)
{
	unsigned char there;
	int missing = 0;
	char *page = (char *)(((size_t)from + 4095) & ~(size_t)4095);

	for (; page + 4096 <= to; page += 4096)
		missing += mincore(page, 4096, &there) != 0 || (there & 1) == 0;
	return missing;
}

CODE_PATH void read_reply(int fd, char *from, char *to)
{
	char buffer[10];
	long n = recv(fd, buffer, sizeof(buffer), MSG_WAITALL);
	int missing = pages_missing(from, to);

	say_touch("recv", fd, n);
	say("{\"event\": \"untouched\", \"pages\": %d}", missing);
	STAY();
}

CODE_PATH void fetch_price(int fd, size_t bytes)
{
	char *scratch = alloca(bytes);

	read_reply(fd, scratch, scratch + bytes);
	STAY();
}

CODE_PATH void *worker(void *unused)
{
	fetch_price(job.fd, job.bytes);
	STAY();
	return unused;
}

int main(int argc, char **argv)
{
	pthread_t thread;

	if (argc < 3)
		return 64;
	workload_start();
	say_process("program", getpid());
	struct puppet peer = puppet_server("4");

	await("open");
	job.fd = connect_to(&peer.address);
	job.bytes = (size_t)atoi(argv[1]);
	int which = tell(&peer, ACCEPT_ONE, 0, 0);

	tell(&peer, SEND_BYTES, which, 10);
	if (strcmp(argv[2], "thread") == 0) {
		if (pthread_create(&thread, NULL, worker, NULL) != 0 || pthread_join(thread, NULL) != 0)
			fail("thread");
	} else {
		worker(NULL);
	}
	say_socket("program", job.fd);
	await("peer hangs up");
	tell(&peer, HANG_UP, EVERY_SOCKET, 0);
	await("end");
	return 0;
}
