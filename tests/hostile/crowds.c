/*
 * crowd MODE PORT: a program of any user that leaves three sockets behind and makes it dear to look at its threads.
 *
 * senders: thousands of threads are inside send(2) on them. pollers: thousands poll 16,000 descriptors each.
 * headless: the first thread ends, and another one goes on; headless-before: the same before anybody looks.
 * The peer answers with a byte and hangs up, but it goes on to take what is sent: it never reads it.
 */
#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define SOCKETS 3
#define SENDERS 12000
#define POLLERS 2000
#define POLLED 16000

static int sockets[SOCKETS];
static struct pollfd polled[POLLED];

__attribute__((noinline)) static int leak(int fd)
{
	char bytes[16];
	int got = recv(fd, bytes, sizeof bytes, MSG_WAITALL); /* the answer, then the end */

	__asm__ volatile("" ::: "memory");
	return got;
}

static void *rest(void *given)
{
	for (;;)
		pause();
	return given;
}

static void *send_all(void *given)
{
	static char bytes[65536];

	while (send(sockets[(long)given % SOCKETS], bytes, sizeof bytes, MSG_NOSIGNAL) > 0)
		;
	return rest(given);
}

static void *poll_all(void *given)
{
	if (poll(polled, POLLED, -1) < 0)
		perror("poll");
	return rest(given);
}

static void start(long count, void *(*run)(void *))
{
	pthread_attr_t small;
	pthread_t thread;

	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 16384);
	for (long i = 0; i < count; i++) {
		if (pthread_create(&thread, &small, run, (void *)i)) {
			perror("pthread_create");
			exit(1);
		}
	}
}

static void dial(int port)
{
	struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = htons(port)};

	peer.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	for (int i = 0; i < SOCKETS; i++) {
		sockets[i] = socket(AF_INET, SOCK_STREAM, 0);
		if (connect(sockets[i], (void *)&peer, sizeof peer)) {
			perror("connect");
			exit(1);
		}
		leak(sockets[i]);
	}
}

int main(int count, char **words)
{
	struct rlimit files;
	const char *mode = words[1];
	int before = !strcmp(mode, "headless-before");

	if (count < 3)
		return 2;
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max; /* poll(2) takes no more */
	setrlimit(RLIMIT_NOFILE, &files);
	if (before)
		dial(atoi(words[2]));
	puts("up");
	fflush(stdout);
	getchar();
	if (!before)
		dial(atoi(words[2]));
	if (!strcmp(mode, "senders"))
		start(SENDERS, send_all);
	for (int i = 0; i < POLLED; i++)
		polled[i] = (struct pollfd){sockets[i % SOCKETS], POLLPRI, 0};
	if (!strcmp(mode, "pollers"))
		start(POLLERS, poll_all);
	if (!strncmp(mode, "headless", 8))
		start(1, rest);
	puts("done");
	fflush(stdout);
	if (!strncmp(mode, "headless", 8))
		pthread_exit(0);
	rest(0);
}
