/* SPDX-License-Identifier: Apache-2.0 */
/* in_flight: sends the only descriptor of its connection over a unix socket that nobody reads. */
#include "puppet.h"

CODE_PATH void read_and_pass(int fd, int channel)
{
	char control[CMSG_SPACE(sizeof(int))] = {0};
	char buffer[10], byte = 'x';
	struct iovec data = {&byte, 1};
	struct msghdr message = {
		.msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&message);
	long n = recv(fd, buffer, sizeof(buffer), MSG_WAITALL);

	say_touch("recv", fd, n);
	say_socket("program", fd);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(int));
	if (sendmsg(channel, &message, 0) != 1)
		fail("sendmsg");
	close(fd);
	STAY();
}

int main(void)
{
	int channel[2];

	workload_start();
	say_process("program", getpid());
	struct puppet peer = puppet_server("4");

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, channel) < 0)
		fail("socketpair");
	await("open");
	int fd = connect_to(&peer.address);

	tell(&peer, ACCEPT_ONE, 0, 0);
	tell(&peer, SEND_BYTES, 0, 10);
	read_and_pass(fd, channel[0]);
	await("peer hangs up");
	tell(&peer, HANG_UP, EVERY_SOCKET, 0);
	await("end");
	return 0;
}
