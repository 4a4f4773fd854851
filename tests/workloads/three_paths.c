/* SPDX-License-Identifier: Apache-2.0 */
/* three_paths [A B C]: three code paths that leak A, B and C connections to one peer. */
#include "puppet.h"

CODE_PATH void read_answer(int fd)
{
	char buffer[10];

	if (recv(fd, buffer, sizeof(buffer), MSG_WAITALL) != sizeof(buffer))
		fail("recv");
	STAY();
}

CODE_PATH void request(struct puppet *peer)
{
	int fd = connect_to(&peer->address);
	int which = tell(peer, ACCEPT_ONE, 0, 0);

	tell(peer, SEND_BYTES, which, 10);
	read_answer(fd);
	say_socket("program", fd);
	STAY();
}

CODE_PATH void fetch_orders(struct puppet *peer)
{
	request(peer);
	STAY();
}

CODE_PATH void fetch_prices(struct puppet *peer)
{
	request(peer);
	STAY();
}

CODE_PATH void fetch_stock(struct puppet *peer)
{
	request(peer);
	STAY();
}

int main(int argc, char **argv)
{
	int orders = argc > 3 ? atoi(argv[1]) : 5, prices = argc > 3 ? atoi(argv[2]) : 3,
	    stock = argc > 3 ? atoi(argv[3]) : 2;

	workload_start();
	say_process("program", getpid());
	struct puppet peer = puppet_server("4");

	await("open");
	for (int i = 0; i < orders; i++)
		fetch_orders(&peer);
	for (int i = 0; i < prices; i++)
		fetch_prices(&peer);
	for (int i = 0; i < stock; i++)
		fetch_stock(&peer);
	await("peer hangs up");
	tell(&peer, HANG_UP, EVERY_SOCKET, 0);
	await("end");
	return 0;
}
