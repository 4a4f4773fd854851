/* SPDX-License-Identifier: Apache-2.0 */
/* shared_socket: four threads hammer one connection with sends; a fifth is the last to touch it. */
#include "puppet.h"

#define SENDERS 4
#define ROUNDS 500

static int fd;

CODE_PATH void *hammer(void *unused)
{
	(void)unused;
	for (int i = 0; i < ROUNDS; i++)
		send_exactly(fd, 10);
	return NULL;
}

CODE_PATH void last_touch(void)
{
	char buffer[10];
	long n = recv(fd, buffer, sizeof(buffer), MSG_WAITALL);

	say_touch("recv", fd, n);
	STAY();
}

CODE_PATH void *read_last(void *unused)
{
	(void)unused;
	prctl(PR_SET_NAME, "last-thread");
	last_touch();
	await("end");
	exit(0);
}

int main(void)
{
	pthread_t senders[SENDERS], reader;

	workload_start();
	say_process("program", getpid());
	struct puppet peer = puppet_server("4");

	await("open");
	fd = connect_to(&peer.address);
	tell(&peer, ACCEPT_ONE, 0, 0);
	say_socket("program", fd);
	for (int i = 0; i < SENDERS; i++)
		pthread_create(&senders[i], NULL, hammer, NULL);
	tell(&peer, READ_BYTES, 0, SENDERS * ROUNDS * 10);
	for (int i = 0; i < SENDERS; i++)
		pthread_join(senders[i], NULL);
	tell(&peer, SEND_BYTES, 0, 10);
	await("peer hangs up");
	tell(&peer, HANG_UP, EVERY_SOCKET, 0);
	pthread_create(&reader, NULL, read_last, NULL);
	pthread_join(reader, NULL);
	return 0;
}
