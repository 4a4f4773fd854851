/* SPDX-License-Identifier: Apache-2.0 */
/*
 * passed_descriptor [unused]: a parent connects and hands the descriptor to a child over SCM_RIGHTS; the child reads
 * once and forgets it. With "unused" the child never touches it.
 */
#include "puppet.h"

CODE_PATH void send_descriptor(int channel, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = {0};
	char byte = 'x';
	struct iovec data = {&byte, 1};
	struct msghdr message = {
		.msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&message);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(int));
	if (sendmsg(channel, &message, 0) != 1)
		fail("sendmsg");
	close(fd);
	STAY();
}

static int receive_descriptor(int channel)
{
	char control[CMSG_SPACE(sizeof(int))], byte;
	struct iovec data = {&byte, 1};
	struct msghdr message = {
		.msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	int fd;

	if (recvmsg(channel, &message, 0) != 1)
		exit(0);
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(int));
	return fd;
}

CODE_PATH void worker_reads(int fd)
{
	char buffer[10];
	long n = recv(fd, buffer, sizeof(buffer), MSG_WAITALL);

	say_touch("recv", fd, n);
	STAY();
}

CODE_PATH void worker(int channel, int reads)
{
	int fd = receive_descriptor(channel);

	if (reads)
		worker_reads(fd);
	say_socket("child", fd);
	send(channel, "k", 1, 0);
	for (;;)
		pause();
}

int main(int argc, char **argv)
{
	int channel[2];
	char byte;

	(void)argv;
	workload_start();
	say_process("program", getpid());
	struct puppet peer = puppet_server("4");

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, channel) < 0)
		fail("socketpair");
	pid_t child = fork();

	if (child == 0) {
		bounded_life();
		prctl(PR_SET_NAME, "worker");
		close(channel[0]);
		close(peer.control);
		worker(channel[1], argc < 2);
	}
	say_process("child", child);
	await("open");
	int fd = connect_to(&peer.address);

	say_touch("connect", fd, 0);
	tell(&peer, ACCEPT_ONE, 0, 0);
	tell(&peer, SEND_BYTES, 0, 10);
	send_descriptor(channel[0], fd);
	recv(channel[0], &byte, 1, 0);
	await("peer hangs up");
	tell(&peer, HANG_UP, EVERY_SOCKET, 0);
	await("end");
	kill(child, SIGKILL);
	return 0;
}
