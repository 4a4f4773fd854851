/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every workload shares: the conversation with the test, in JSON lines.
 *
 * Out: {"event": "process" | "socket" | "touch" | "peer_close" | ... }; then {"event": "waiting", "next": STEP}, and
 * the program stands still until a line comes in ("go" takes the step, "quit" or end of file ends the program). Times
 * are CLOCK_REALTIME seconds. A touch carries the program's own backtrace(3), taken right after the call, so that the
 * callers' return addresses must be found again, exactly, by whoever unwinds the call itself.
 *
 * WORKLOAD_STEP_MS makes the program take its steps by itself, that many milliseconds apart.
 * WORKLOAD_COMM sets the command name (PR_SET_NAME), whatever bytes it has.
 */
#ifndef WORKLOAD_H
#define WORKLOAD_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* A function that the test expects to find in a stack: never inlined, cloned or renamed. */
#define CODE_PATH __attribute__((noipa))
/* After the last call of a function: keeps that call from becoming a jump. */
#define STAY() __asm__ volatile("")
#define MAYBE __attribute__((unused))
#define LIFETIME_S 300
#define MAX_FRAMES 512

static pthread_mutex_t say_lock = PTHREAD_MUTEX_INITIALIZER;

MAYBE static void fail(const char *what)
{
	dprintf(2, "workload: %s: %s\n", what, strerror(errno));
	_exit(70);
}

MAYBE static double now_realtime(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

MAYBE static void sleep_ms(long ms)
{
	struct timespec t = {ms / 1000, (ms % 1000) * 1000000L};

	while (nanosleep(&t, &t) < 0 && errno == EINTR)
		;
}

MAYBE static void write_all(const char *text, size_t size)
{
	while (size > 0) {
		ssize_t n = write(1, text, size);

		if (n < 0)
			_exit(0); /* the test is gone */
		text += n;
		size -= (size_t)n;
	}
}

__attribute__((format(printf, 1, 2))) MAYBE static void say(const char *format, ...)
{
	char line[1024];
	va_list arguments;

	va_start(arguments, format);
	int n = vsnprintf(line, sizeof(line) - 1, format, arguments);
	va_end(arguments);
	line[n] = '\n';
	pthread_mutex_lock(&say_lock);
	write_all(line, (size_t)n + 1);
	pthread_mutex_unlock(&say_lock);
}

MAYBE static void say_process(const char *role, pid_t pid)
{
	say("{\"event\": \"process\", \"role\": \"%s\", \"pid\": %d}", role, pid);
}

MAYBE static unsigned long inode_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 ? (unsigned long)st.st_ino : 0;
}

/* "127.0.0.1:80", "[::1]:80"; v4-mapped addresses as IPv4. */
MAYBE static void endpoint_text(const struct sockaddr_storage *address, char *text, size_t size)
{
	char host[INET6_ADDRSTRLEN];

	if (address->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)address;

		inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
		snprintf(text, size, "%s:%d", host, ntohs(in->sin_port));
		return;
	}
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)address;

	if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
		inet_ntop(AF_INET, &in6->sin6_addr.s6_addr[12], host, sizeof(host));
		snprintf(text, size, "%s:%d", host, ntohs(in6->sin6_port));
		return;
	}
	inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
	snprintf(text, size, "[%s]:%d", host, ntohs(in6->sin6_port));
}

MAYBE static void say_socket_as(const char *event, const char *role, int fd, double at)
{
	struct sockaddr_storage local = {0}, remote = {0};
	socklen_t local_size = sizeof(local), remote_size = sizeof(remote);
	char local_text[80] = "", remote_text[80] = "";

	if (getsockname(fd, (struct sockaddr *)&local, &local_size) == 0)
		endpoint_text(&local, local_text, sizeof(local_text));
	if (getpeername(fd, (struct sockaddr *)&remote, &remote_size) == 0)
		endpoint_text(&remote, remote_text, sizeof(remote_text));
	say("{\"event\": \"%s\", \"role\": \"%s\", \"pid\": %d, \"fd\": %d, \"inode\": %lu, \"local\": \"%s\", "
	    "\"remote\": \"%s\", \"t\": %.6f}",
	    event, role, getpid(), fd, inode_of(fd), local_text, remote_text, at);
}

MAYBE static void say_socket(const char *role, int fd) { say_socket_as("socket", role, fd, now_realtime()); }

MAYBE static size_t frame_text(void *pc, char *text, size_t size)
{
	Dl_info info = {0};
	const char *module = "";

	if (dladdr(pc, &info) != 0 && info.dli_fname != NULL) {
		module = strrchr(info.dli_fname, '/');
		module = module != NULL ? module + 1 : info.dli_fname;
	}
	size_t in_module = (size_t)pc - (size_t)info.dli_fbase;

	if (info.dli_sname != NULL)
		return (size_t)snprintf(
			text, size,
			"{\"function\": \"%s\", \"offset\": %zu, \"module\": \"%s\", \"module_offset\": %zu, "
			"\"pc\": %zu}",
			info.dli_sname, (size_t)pc - (size_t)info.dli_saddr, module, in_module, (size_t)pc);
	return (size_t)snprintf(
		text, size,
		"{\"function\": null, \"offset\": 0, \"module\": \"%s\", \"module_offset\": %zu, \"pc\": %zu}", module,
		in_module, (size_t)pc);
}

/* Call it right after the call that it reports, from the same function. */
__attribute__((noipa)) MAYBE static void say_touch(const char *op, int fd, long ret)
{
	static char text[MAX_FRAMES * 256];
	void *pcs[MAX_FRAMES];
	int count = backtrace(pcs, MAX_FRAMES);

	pthread_mutex_lock(&say_lock);
	size_t used =
		(size_t)snprintf(text, sizeof(text),
				 "{\"event\": \"touch\", \"op\": \"%s\", \"fd\": %d, \"inode\": %lu, \"ret\": %ld, "
				 "\"pid\": %d, \"tid\": %ld, \"t\": %.6f, \"stack\": [",
				 op, fd, inode_of(fd), ret, getpid(), syscall(SYS_gettid), now_realtime());
	for (int i = 1; i < count; i++) { /* 0 is this function */
		if (i > 1)
			used += (size_t)snprintf(text + used, sizeof(text) - used, ", ");
		used += frame_text(pcs[i], text + used, sizeof(text) - used);
	}
	used += (size_t)snprintf(text + used, sizeof(text) - used, "]}\n");
	write_all(text, used);
	pthread_mutex_unlock(&say_lock);
	STAY();
}

/* Says what comes next and waits for the test to allow it. */
MAYBE static void await(const char *next)
{
	const char *step = getenv("WORKLOAD_STEP_MS");
	char line[32] = "";
	size_t used = 0;

	say("{\"event\": \"waiting\", \"next\": \"%s\", \"t\": %.6f}", next, now_realtime());
	if (step != NULL) {
		sleep_ms(atol(step));
		return;
	}
	while (used + 1 < sizeof(line)) {
		ssize_t n = read(0, line + used, 1);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			exit(0);
		if (line[used] == '\n')
			break;
		used++;
	}
	line[used] = '\0';
	if (strcmp(line, "quit") == 0)
		exit(0);
}

MAYBE static void bounded_life(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	alarm(LIFETIME_S);
}

MAYBE static void workload_start(void)
{
	const char *comm = getenv("WORKLOAD_COMM");
	void *prime[1];

	alarm(LIFETIME_S);
	signal(SIGPIPE, SIG_IGN);
	backtrace(prime, 1); /* loads libgcc now, not inside a signal handler */
	if (comm != NULL)
		prctl(PR_SET_NAME, comm);
}

#endif
