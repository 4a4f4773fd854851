/* SPDX-License-Identifier: Apache-2.0 */
/*
 * touch DEPTH SOCKETS SECONDS: one byte there and back over loopback. Both ends are in this thread, so that only the
 * calls are timed. DEPTH calls are between main and the loop. It prints how many send and recv calls it made, also per
 * second, and per second of its CPU.
 */
#include "bench.h"

static int *near_end, *far_end, sockets;
static double seconds;
static volatile unsigned long calls;

static void ping(int from, int to)
{
	char byte = 'x';
	if (send(from, &byte, 1, 0) != 1 || recv(to, &byte, 1, 0) != 1)
		die("ping");
}

__attribute__((noipa)) static void loop(void)
{
	double end = now_s() + seconds;

	while (now_s() < end) {
		for (int turn = 0; turn < 1000; turn++) {
			ping(near_end[turn % sockets], far_end[turn % sockets]);
			ping(far_end[turn % sockets], near_end[turn % sockets]);
		}
		calls += 4000;
	}
}

__attribute__((noipa)) static void descend(int depth)
{
	volatile char locals[48];

	locals[0] = (char)depth;
	if (depth > 0)
		descend(depth - 1);
	else
		loop();
	__asm__ volatile("" ::"r"(locals));
}

int main(int argc, char **argv)
{
	int port = 0;

	if (argc != 4)
		return 64;
	bench_start();
	sockets = atoi(argv[2]);
	seconds = atof(argv[3]);
	near_end = calloc((size_t)sockets, sizeof(int));
	far_end = calloc((size_t)sockets, sizeof(int));
	int listener = listen_on(&port), one = 1;
	for (int i = 0; i < sockets; i++) {
		near_end[i] = connect_from((unsigned)i, port);
		far_end[i] = accept(listener, NULL, NULL);
		if (near_end[i] < 0 || far_end[i] < 0)
			die("pair");
		setsockopt(far_end[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		ping(near_end[i], far_end[i]);
	}
	double start = now_s(), cpu = cpu_s();
	descend(atoi(argv[1]));
	cpu = cpu_s() - cpu;
	printf("{\"calls\": %lu, \"calls_per_s\": %.0f, \"calls_per_cpu_s\": %.0f}\n", calls,
	       (double)calls / (now_s() - start), (double)calls / cpu);
	return 0;
}
