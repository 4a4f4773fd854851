/* SPDX-License-Identifier: GPL-2.0-only */
/* Reading struct sock. */

#define CT_AF_INET 2
#define CT_AF_INET6 10
#define CT_IPPROTO_TCP 6

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

static __always_inline u8 ct_state(struct sock *sk)
{
	u8 state = 0;
	ct_read_kernel(&state, sizeof(state), (void *)&sk->__sk_common.skc_state);
	return state;
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
