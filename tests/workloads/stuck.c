/* SPDX-License-Identifier: Apache-2.0 */
/* stuck [COUNT]: a thread a connection. Each reads a request; then COUNT of them wait for a lock that is never given
 * back, one runs for ever, and one ends without closing. The clients hang up; with "end" as second word they end their
 * sending at once, and each thread has read that before it does anything else. */
#include "puppet.h"

#include <stdatomic.h>

static pthread_mutex_t ledger = PTHREAD_MUTEX_INITIALIZER;
static volatile unsigned long turns;
static atomic_int told;
static int to_the_end;

struct job {
	const char *does;
	int fd;
};

static void say_thread(const struct job *job)
{
	say("{\"event\": \"thread\", \"does\": \"%s\", \"tid\": %ld}", job->does, syscall(SYS_gettid));
	told++;
}

CODE_PATH void read_request(int fd)
{
	if (read_exactly(fd, 20) != 20)
		fail("read");
	char more;

	if (to_the_end && recv(fd, &more, 1, 0) != 0)
		fail("read the end");
	STAY();
}

CODE_PATH void take_ledger_lock(void)
{
	pthread_mutex_lock(&ledger);
	STAY();
}

CODE_PATH void wait_for_ledger(void)
{
	take_ledger_lock();
	STAY();
}

CODE_PATH void count_for_ever(void)
{
	for (;;)
		turns++;
}

CODE_PATH void serve(const struct job *job)
{
	read_request(job->fd);
	say_socket("program", job->fd);
	say_thread(job);
	if (!strcmp(job->does, "lock"))
		wait_for_ledger();
	else if (!strcmp(job->does, "run"))
		count_for_ever();
	STAY();
}

CODE_PATH void *handle(void *argument)
{
	serve(argument);
	STAY();
	return NULL;
}

int main(int argc, char **argv)
{
	int count = (argc > 1 ? atoi(argv[1]) : 3) + 2;

	to_the_end = argc > 2 && !strcmp(argv[2], "end");
	workload_start();
	say_process("program", getpid());
	struct puppet client = puppet_start();

	client.address = loopback("4", 0);
	int listener = listen_on(&client.address);

	pthread_mutex_lock(&ledger);
	await("serve");
	for (int i = 0; i < count; i++) {
		int which = tell(&client, CONNECT_TO, 0, 0);
		struct job *job = malloc(sizeof *job);
		pthread_t thread;

		tell(&client, SEND_BYTES, which, 20);
		if (to_the_end)
			tell(&client, HALF_CLOSE, which, 0);
		*job = (struct job){i == 0 ? "run" : i == 1 ? "end" : "lock", accept(listener, NULL, NULL)};
		pthread_create(&thread, NULL, handle, job);
		if (i == 1)
			pthread_join(thread, NULL);
		else
			pthread_detach(thread);
	}
	while (told < count)
		usleep(1000);
	await("clients hang up");
	tell(&client, HANG_UP, EVERY_SOCKET, 0);
	await("end");
	return 0;
}
