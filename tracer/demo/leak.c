// SPDX-License-Identifier: Apache-2.0
//
// A small price service. A client keeps its connections in a pool. The server hangs up on idle connections, and the
// pool does not notice. A second code path reads the end of the stream (EOF) and forgets to close. It is built without
// frame pointers on purpose. The parent is the client; its child is the server.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline))
#define POOLED 8
#define FEEDS 3

static int pool[POOLED], feeds[FEEDS];

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static int listen_somewhere(struct sockaddr_in *address)
{
	socklen_t length = sizeof(*address);
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	address->sin_family = AF_INET;
	address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(listener, (void *)address, length) || listen(listener, 64) ||
	    getsockname(listener, (void *)address, &length))
		die("listen");
	return listener;
}

static void serve(int listener)
{
	int idle[POOLED + FEEDS];
	char request[64];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (int i = 0; i < POOLED + FEEDS; i++) {
		idle[i] = accept(listener, 0, 0);
		if (read(idle[i], request, sizeof(request)) < 0 || write(idle[i], "price 42\n", 9) < 0)
			die("serve");
	}
	usleep(1500000); // the keep-alive timeout
	for (int i = 0; i < POOLED + FEEDS; i++)
		close(idle[i]);
	pause();
}

static NOINLINE int read_response(int connection)
{
	char reply[64];
	ssize_t got = recv(connection, reply, sizeof(reply), 0);

	return got < 0 ? -1 : (int)got;
}

static NOINLINE int open_connection(const struct sockaddr_in *server)
{
	int connection = socket(AF_INET, SOCK_STREAM, 0);

	if (connect(connection, (const void *)server, sizeof(*server)))
		die("connect");
	return connection;
}

static NOINLINE int exchange(int connection)
{
	if (send(connection, "GET /price\n", 11, 0) != 11)
		die("send");
	return read_response(connection) + 1;
}

// Keeps the connection in the pool and never closes it.
static NOINLINE int fetch_price(const struct sockaddr_in *server, int slot)
{
	pool[slot] = open_connection(server);
	return exchange(pool[slot]) + 1;
}

// drain_feed reads the end of this connection. Nobody closes it.
static NOINLINE int poll_feed(const struct sockaddr_in *server, int slot)
{
	feeds[slot] = open_connection(server);
	return exchange(feeds[slot]) + 1;
}

static NOINLINE int drain_feed(int slot) { return read_response(feeds[slot]) + 1; }

static NOINLINE void refresh_prices(const struct sockaddr_in *server)
{
	for (int i = 0; i < POOLED; i++)
		if (fetch_price(server, i) < 0)
			die("fetch");
	for (int i = 0; i < FEEDS; i++)
		if (poll_feed(server, i) < 0)
			die("poll");
	for (int i = 0; i < FEEDS; i++)
		if (drain_feed(i) < 0)
			die("drain");
}

int main(void)
{
	struct sockaddr_in server = {0};
	int listener = listen_somewhere(&server);

	alarm(120);
	if (fork() == 0)
		serve(listener);
	close(listener);
	if (getchar() == EOF) // closetrace sends a line when it is attached
		return 0;
	refresh_prices(&server);
	getchar();
	return 0;
}
