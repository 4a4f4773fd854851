/* SPDX-License-Identifier: Apache-2.0 */
/* dlopened LIBRARY: the socket is touched inside a library loaded after the trace began. */
#include "puppet.h"

typedef long (*fetch_function)(int, void (*)(const char *, int, long));

CODE_PATH void call_plugin(const char *library, int fd)
{
	void *handle = dlopen(library, RTLD_NOW);

	if (handle == NULL)
		fail(dlerror());
	fetch_function fetch = (fetch_function)dlsym(handle, "plugin_fetch");

	if (fetch(fd, say_touch) != 10)
		fail("plugin_fetch");
	STAY();
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return 64;
	workload_start();
	say_process("program", getpid());
	struct puppet peer = puppet_server("4");

	await("open");
	int fd = connect_to(&peer.address);

	tell(&peer, ACCEPT_ONE, 0, 0);
	tell(&peer, SEND_BYTES, 0, 10);
	call_plugin(argv[1], fd);
	say_socket("program", fd);
	await("peer hangs up");
	tell(&peer, HANG_UP, EVERY_SOCKET, 0);
	await("end");
	return 0;
}
