/* SPDX-License-Identifier: Apache-2.0 */
/* waits: a thread for each way to wait (and one that runs), each below three functions of its own. Before it waits it
 * says who it is, for which descriptor it will wait, and what time it is (CLOCK_MONOTONIC). */
#include "workload.h"

#include <poll.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/select.h>

static int pair[2], full[2], listener, epoll;
static pthread_mutex_t taken = PTHREAD_MUTEX_INITIALIZER;
static volatile unsigned long turns;
static atomic_int told;

static void say_waits(const char *name, int fd)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	say("{\"event\": \"waits\", \"in\": \"%s\", \"fd\": %d, \"tid\": %ld, \"monotonic_ns\": %lld}", name, fd,
	    syscall(SYS_gettid), (long long)t.tv_sec * 1000000000 + t.tv_nsec);
	told++;
}

static void use_cpu(void)
{
	for (clock_t end = clock() + CLOCKS_PER_SEC / 5; clock() < end;)
		turns++;
}

static void in_read(void)
{
	char byte;

	say_waits("read", pair[0]);
	if (read(pair[0], &byte, 1) < 0)
		fail("read");
}

static void in_futex(void)
{
	use_cpu();
	say_waits("futex", -1);
	pthread_mutex_lock(&taken);
}

static void in_poll(void)
{
	struct pollfd polled[] = {{pair[0], POLLIN, 0}, {-1, POLLIN, 0}, {full[0], POLLOUT, 0}};

	say_waits("poll", full[0]);
	poll(polled, 3, -1);
}

static void in_select(void)
{
	fd_set to_read, to_write;

	FD_ZERO(&to_read);
	FD_ZERO(&to_write);
	FD_SET(pair[0], &to_read);
	FD_SET(full[0], &to_write);
	say_waits("select", full[0]);
	select((pair[0] > full[0] ? pair[0] : full[0]) + 1, &to_read, &to_write, NULL, NULL);
}

static void in_epoll(void)
{
	struct epoll_event event;

	say_waits("epoll", epoll);
	epoll_wait(epoll, &event, 1, -1);
}

static void in_accept(void)
{
	say_waits("accept", listener);
	accept(listener, NULL, NULL);
}

static void in_sleep(void)
{
	say_waits("sleep", -1);
	sleep_ms(LIFETIME_S * 1000L);
}

static void in_loop(void)
{
	say_waits("loop", -1);
	for (;;)
		turns++;
}

CODE_PATH void inner(void (*wait)(void))
{
	char room[3000];

	memset(room, 1, sizeof(room));
	__asm__ volatile("" : : "r"(room) : "memory");
	wait();
	STAY();
}

CODE_PATH void middle(void (*wait)(void))
{
	inner(wait);
	STAY();
}

CODE_PATH void *outer(void *wait)
{
	middle((void (*)(void))wait);
	STAY();
	return NULL;
}

static void fill(int fd)
{
	static const char zeros[4096];

	while (send(fd, zeros, sizeof(zeros), MSG_DONTWAIT) > 0)
		;
}

int main(void)
{
	void (*const ways[])(void) = {in_read, in_futex, in_poll, in_select, in_epoll, in_accept, in_sleep, in_loop};
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct epoll_event event = {.events = EPOLLIN};
	const int count = sizeof(ways) / sizeof(ways[0]);
	pthread_t thread;

	workload_start();
	say_process("program", getpid());
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, full) < 0)
		fail("socketpair");
	fill(full[0]);
	listener = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(listener, (struct sockaddr *)&any, sizeof(any)) < 0 || listen(listener, 1) < 0)
		fail("listen");
	epoll = epoll_create1(0);
	epoll_ctl(epoll, EPOLL_CTL_ADD, pair[0], &event);
	pthread_mutex_lock(&taken);
	await("wait");
	for (int i = 0; i < count; i++)
		pthread_create(&thread, NULL, outer, (void *)ways[i]);
	while (told < count)
		sleep_ms(1);
	await("end");
	return 0;
}
