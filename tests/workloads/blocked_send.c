/* SPDX-License-Identifier: Apache-2.0 */
/* blocked_send: the peer has sent its FIN and reads no more; a thread of the program stands in send(2) on the socket.
 */
#include "puppet.h"

static int fd;
static pthread_barrier_t told;

CODE_PATH void push(void)
{
	send_exactly(fd, 1L << 30);
	STAY();
}

CODE_PATH void *uploader(void *unused)
{
	(void)unused;
	prctl(PR_SET_NAME, "stuck");
	say("{\"event\": \"thread\", \"role\": \"program\", \"pid\": %d, \"tid\": %ld}", getpid(), syscall(SYS_gettid));
	pthread_barrier_wait(&told);
	push();
	return NULL;
}

int main(void)
{
	pthread_t thread;

	workload_start();
	say_process("program", getpid());
	struct puppet peer = puppet_server("4");

	await("open");
	fd = connect_to(&peer.address);
	tell(&peer, ACCEPT_ONE, 0, 0);
	say_socket("program", fd);
	await("peer says FIN");
	tell(&peer, HALF_CLOSE, 0, 0);
	pthread_barrier_init(&told, NULL, 2);
	pthread_create(&thread, NULL, uploader, NULL);
	pthread_barrier_wait(&told);
	await("end");
	return 0;
}
