/* SPDX-License-Identifier: GPL-2.0-only */
/* Reading struct sock, and bringing a socket into the recorder. */

#define CT_AF_INET 2
#define CT_AF_INET6 10
#define CT_IPPROTO_TCP 6

struct ct_tuple {
	u8 laddr[16];
	u8 raddr[16];
	u32 netns;
	u16 lport;
	u16 rport;
	u16 family;
};

static __always_inline u32 ct_netns(struct sock *sk)
{
	struct net *net = 0;
	u32 inum = 0;

	ct_read_kernel(&net, sizeof(net), &sk->__sk_common.skc_net.net);
	ct_read_kernel(&inum, sizeof(inum), &net->ns.inum);
	return inum;
}

static __always_inline u64 ct_cookie(struct sock *sk)
{
	u64 cookie = 0;
	ct_read_kernel(&cookie, sizeof(cookie), &sk->__sk_common.skc_cookie);
	return cookie;
}

static __always_inline int ct_is_tcp(struct sock *sk)
{
	u16 family = 0, protocol = 0;

	ct_read_kernel(&family, sizeof(family), &sk->__sk_common.skc_family);
	if (family != CT_AF_INET && family != CT_AF_INET6)
		return 0;
	ct_read_kernel(&protocol, sizeof(protocol), &sk->sk_protocol);
	return protocol == CT_IPPROTO_TCP;
}

static __always_inline u16 ct_local_port(struct sock *sk)
{
	u16 port = 0;
	/* inet_sport, not skc_num: the latter is 0 again by the time of the transition to CLOSE */
	ct_read_kernel(&port, sizeof(port), &((struct inet_sock *)sk)->inet_sport);
	return bpf_ntohs(port);
}

/* Who the two ends are. By few large reads: each bpf_probe_read costs some 20 ns, whatever its size. */
static __always_inline void ct_read_tuple(struct sock *sk, struct ct_record *record)
{
	struct sock_common common = {};
	u32 *laddr = (u32 *)record->laddr, *raddr = (u32 *)record->raddr;
	u32 inum = 0;
	u16 port = 0;

	ct_read_kernel(&common, sizeof(common), &sk->__sk_common);
	record->family = common.skc_family;
	if (record->family == CT_AF_INET) {
		laddr[0] = *(u32 *)&common.skc_rcv_saddr;
		raddr[0] = *(u32 *)&common.skc_daddr;
	} else {
		__builtin_memcpy(laddr, &common.skc_v6_rcv_saddr, 16);
		__builtin_memcpy(raddr, &common.skc_v6_daddr, 16);
	}
	record->rport = bpf_ntohs(*(u16 *)&common.skc_dport);
	port = ct_local_port(sk);
	if (port)
		record->lport = port;
	ct_read_kernel(&inum, sizeof(inum), &common.skc_net.net->ns.inum);
	record->netns = inum;
	__builtin_memcpy(&record->cookie, &common.skc_cookie, sizeof(record->cookie));
}

/* Inode of the descriptor's file, 0 while nothing holds one (accept queue, orphan). */
static __always_inline u64 ct_inode(struct sock *sk)
{
	struct socket *socket = 0;
	struct file *file = 0;
	struct inode *inode = 0;
	u64 number = 0;

	ct_read_kernel(&socket, sizeof(socket), &sk->sk_socket);
	if (!socket)
		return 0;
	ct_read_kernel(&file, sizeof(file), &socket->file);
	if (!file)
		return 0;
	ct_read_kernel(&inode, sizeof(inode), &file->f_inode);
	ct_read_kernel(&number, sizeof(number), &inode->i_ino);
	return number;
}

static __always_inline int ct_has_descriptor(struct sock *sk)
{
	struct socket *socket = 0;
	ct_read_kernel(&socket, sizeof(socket), &sk->sk_socket);
	return socket != 0;
}

static __always_inline int ct_owned(struct sock *sk)
{
	int owned = 0;
	ct_read_kernel(&owned, sizeof(owned), &sk->sk_lock.owned);
	return owned;
}

/* Bytes received and not read when FIN came: rcv_nxt already counts the FIN itself. */
static __always_inline u32 ct_unread(struct sock *sk)
{
	struct tcp_sock *tp = (struct tcp_sock *)sk;
	u32 next = 0, copied = 0;

	ct_read_kernel(&next, sizeof(next), &tp->rcv_nxt);
	ct_read_kernel(&copied, sizeof(copied), &tp->copied_seq);
	return next - copied > 1 ? next - copied - 1 : 0;
}

/* Does the connection itself match the filters? An unset local port (connect in progress) is judged later. */
static __always_inline int ct_tuple_in_scope(struct ct_record *record)
{
#ifdef CT_LOCAL_PORTS
	if (record->lport && !(CT_LOCAL_PORTS(record->lport)))
		return 0;
#endif
#ifdef CT_REMOTE_PORTS
	if (!(CT_REMOTE_PORTS(record->rport)))
		return 0;
#endif
#ifdef CT_NETNS
	if (!(CT_NETNS(record->netns)))
		return 0;
#endif
#ifdef CT_REMOTES
	u32 a0 = 0, a1 = 0, a2 = 0, a3 = 0;
	u32 *words = (u32 *)record->raddr;
	if (record->family == CT_AF_INET) { /* as v4-mapped, so that one form of filter serves both */
		a2 = bpf_htonl(0xffff);
		a3 = words[0];
	} else {
		a0 = words[0];
		a1 = words[1];
		a2 = words[2];
		a3 = words[3];
	}
	if (!(CT_REMOTES(a0, a1, a2, a3)))
		return 0;
#endif
	return 1;
}

#ifdef CT_SCOPE_TASKS
/* multiplicative hashing (Knuth, volume 3, 6.4): addresses of one slab differ in their middle bits */
static __always_inline u32 ct_known_place(u64 key) { return (key * 0x9e3779b97f4a7c15ULL) >> (64 - CT_KNOWN_BITS); }

static __always_inline void ct_know(u64 key, u64 more)
{
	u32 place = ct_known_place(key), index = place / 4;
	u64 *counts = known.lookup(&index);
	if (counts)
		__sync_fetch_and_add(counts, more << (place % 4 * 16));
}

static __always_inline int ct_is_known(u64 key)
{
	u32 place = ct_known_place(key), index = place / 4;
	u64 *counts = known.lookup(&index);
	return counts && (*counts >> (place % 4 * 16) & 0xffff);
}

static __always_inline void ct_hint(u32 index)
{
	u32 *seen = hints.lookup(&index);
	if (seen)
		*seen = 1;
}

static __always_inline int ct_is_hinted(u32 index)
{
	u32 *seen = hints.lookup(&index);
	return seen && *seen;
}

#define CT_HINT_PORT(port) ((port) % CT_HINTS)
#define CT_HINT_COOKIE(cookie) (CT_HINTS + (u32)((cookie) % CT_HINTS))
#else
#define ct_know(key, more)
#endif

/* The record of a socket, 0 if it has none: the first question of every hook. */
static __always_inline struct ct_record *ct_record_of(u64 key)
{
#ifdef CT_SCOPE_TASKS
	if (!ct_is_known(key))
		return 0;
#endif
	return sockets.lookup(&key);
}

static __always_inline void ct_forget(u64 key)
{
	if (!sockets.delete(&key))
		ct_know(key, -1ULL);
	ct_count(CT_N_DESTROYED);
}

/* A new record for a socket that is in scope by its task or listener; 0 if its tuple is not, or the map is full. */
static __always_inline struct ct_record *ct_create(struct sock *sk, u32 flags, u8 state, u64 now)
{
	u64 key = (u64)sk;
	u32 zero = 0;
	struct ct_record *empty = blank.lookup(&zero), *record;

	if (!empty || !ct_is_tcp(sk))
		return 0;
	ct_know(key, 1); /* before it can be found, so that no hook misses it */
	if (sockets.insert(&key, empty)) {
		ct_know(key, -1ULL);
		record = sockets.lookup(&key); /* another thread's, made in this instant */
		if (!record)
			ct_count(CT_LOST_RECORDS);
		return record;
	}
	record = sockets.lookup(&key);
	if (!record)
		return 0;
	ct_count(CT_N_CREATED);
	record->sk = key;
	record->birth_ns = now;
	record->state = state;
	record->state_ns = flags & CT_R_ADOPTED ? 0 : now;
	record->flags = flags;
	ct_read_tuple(sk, record);
	if (ct_tuple_in_scope(record))
		return record;
	ct_forget(key);
	return 0;
}
