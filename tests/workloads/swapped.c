/* SPDX-License-Identifier: Apache-2.0 */
/*
 * swapped FIRST SECOND: the socket is touched inside the library FIRST, in whose place the library SECOND is then put.
 * Each is a build of plugin.c.
 */
#include "puppet.h"

typedef long (*fetch_function)(int, void (*)(const char *, int, long));

CODE_PATH fetch_function load(const char *library, void **handle)
{
	*handle = dlopen(library, RTLD_NOW);
	if (*handle == NULL)
		fail(dlerror());
	fetch_function fetch = (fetch_function)dlsym(*handle, "plugin_fetch");

	if (fetch == NULL)
		fetch = (fetch_function)dlsym(*handle, "other_fetch");
	say("{\"event\": \"loaded\", \"library\": \"%s\", \"at\": %lu}", library, (unsigned long)fetch);
	return fetch;
}

int main(int argc, char **argv)
{
	void *handle;

	if (argc < 3)
		return 64;
	workload_start();
	say_process("program", getpid());
	struct puppet peer = puppet_server("4");
	fetch_function fetch = load(argv[1], &handle);

	await("open");
	int fd = connect_to(&peer.address);

	tell(&peer, ACCEPT_ONE, 0, 0);
	tell(&peer, SEND_BYTES, 0, 10);
	fetch(fd, say_touch);
	say_socket("program", fd);
	dlclose(handle);
	load(argv[2], &handle);
	tell(&peer, HANG_UP, EVERY_SOCKET, 0);
	await("end");
	return 0;
}
