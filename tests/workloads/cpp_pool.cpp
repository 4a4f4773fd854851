/* SPDX-License-Identifier: Apache-2.0 */
// cpp_pool: the touch lies in a method of a class template inside namespaces; names must come out demangled.
#include <string>
#include <vector>

#include "puppet.h"

namespace acme
{
namespace net
{

template <typename Key> class Pool
{
      public:
	explicit Pool(puppet &peer) : peer_(peer) {}
	CODE_PATH void fetch(const Key &key);
	CODE_PATH long read_reply(int fd);

      private:
	puppet &peer_;
	std::vector<int> idle_;
};

template <typename Key> long Pool<Key>::read_reply(int fd)
{
	char buffer[10];
	long n = recv(fd, buffer, sizeof(buffer), MSG_WAITALL);

	say_touch("recv", fd, n);
	return n;
}

template <typename Key> void Pool<Key>::fetch(const Key &)
{
	int fd = connect_to(&peer_.address);
	int which = tell(&peer_, ACCEPT_ONE, 0, 0);

	tell(&peer_, SEND_BYTES, which, 10);
	if (read_reply(fd) == 10)
		idle_.push_back(fd);
	say_socket("program", fd);
}

template class Pool<std::string>;

} // namespace net
} // namespace acme

int main()
{
	workload_start();
	say_process("program", getpid());
	puppet peer = puppet_server("4");
	acme::net::Pool<std::string> pool(peer);

	await("open");
	pool.fetch("orders");
	await("peer hangs up");
	tell(&peer, HANG_UP, EVERY_SOCKET, 0);
	await("end");
	return 0;
}
