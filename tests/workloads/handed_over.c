/* SPDX-License-Identifier: Apache-2.0 */
/* handed_over [COUNT]: one thread accepts, reads the requests and hands the sockets to COUNT workers by a queue. Each
 * worker waits for a lock that is never given back; the last one waits for its first socket. The clients hang up. */
#include "puppet.h"

#include <stdatomic.h>

static pthread_mutex_t ledger = PTHREAD_MUTEX_INITIALIZER, queue = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t more = PTHREAD_COND_INITIALIZER;
static int jobs[64], put, taken;
static int listener, count;
static atomic_int idles;

static void say_thread(const char *does)
{
	say("{\"event\": \"thread\", \"does\": \"%s\", \"tid\": %ld}", does, syscall(SYS_gettid));
}

CODE_PATH int next_job(void)
{
	pthread_mutex_lock(&queue);
	while (put == taken)
		pthread_cond_wait(&more, &queue);
	int fd = jobs[taken++];

	pthread_mutex_unlock(&queue);
	return fd;
}

CODE_PATH void take_ledger_lock(void)
{
	pthread_mutex_lock(&ledger);
	STAY();
}

CODE_PATH void book_order(int fd)
{
	say_socket("program", fd);
	say_thread("lock");
	take_ledger_lock();
	STAY();
}

static void *work(void *argument)
{
	if (argument) {
		say_thread("idle");
		idles = 1;
	}
	for (;;)
		book_order(next_job());
	return argument;
}

CODE_PATH void read_request(int fd)
{
	if (read_exactly(fd, 20) != 20)
		fail("read");
	STAY();
}

static void *dispatch(void *argument)
{
	say_thread("dispatch");
	for (;;) {
		int fd = accept(listener, NULL, NULL);

		read_request(fd);
		pthread_mutex_lock(&queue);
		jobs[put++] = fd;
		pthread_cond_signal(&more);
		pthread_mutex_unlock(&queue);
	}
	return argument;
}

static void start_thread(void *(*body)(void *), void *argument)
{
	pthread_t thread;

	pthread_create(&thread, NULL, body, argument);
	pthread_detach(thread);
}

int main(int argc, char **argv)
{
	count = argc > 1 ? atoi(argv[1]) : 3;
	workload_start();
	say_process("program", getpid());
	struct puppet client = puppet_start();

	client.address = loopback("4", 0);
	listener = listen_on(&client.address);
	pthread_mutex_lock(&ledger);
	await("serve");
	for (int i = 0; i < count; i++)
		start_thread(work, NULL);
	start_thread(dispatch, NULL);
	for (int i = 0; i < count; i++)
		tell(&client, SEND_BYTES, tell(&client, CONNECT_TO, 0, 0), 20);
	for (;;) {
		usleep(10000);
		pthread_mutex_lock(&queue);
		if (taken == count)
			break;
		pthread_mutex_unlock(&queue);
	}
	pthread_mutex_unlock(&queue);
	start_thread(work, &count);
	while (!idles)
		usleep(1000);
	await("clients hang up");
	tell(&client, HANG_UP, EVERY_SOCKET, 0);
	await("end");
	return 0;
}
