/* SPDX-License-Identifier: Apache-2.0 */
/* half_closed_in_use: the peer has sent its FIN but still reads, and the program goes on sending, which is its right.
 */
#include "puppet.h"

CODE_PATH void send_chunk(int fd)
{
	send_exactly(fd, 100);
	STAY();
}

CODE_PATH void *upload(void *argument)
{
	int fd = *(int *)argument;

	prctl(PR_SET_NAME, "uploader");
	for (;;) {
		send_chunk(fd);
		sleep_ms(100);
	}
}

int main(void)
{
	pthread_t thread;

	workload_start();
	say_process("program", getpid());
	struct puppet peer = puppet_server("4");

	await("open");
	static int fd;

	fd = connect_to(&peer.address);
	tell(&peer, ACCEPT_ONE, 0, 0);
	say_socket("program", fd);
	pthread_create(&thread, NULL, upload, &fd);
	await("peer says FIN and goes on reading");
	tell(&peer, HALF_CLOSE, 0, 0);
	await("end");
	return 0;
}
