/* SPDX-License-Identifier: GPL-2.0-only */
/* Reading struct sock. */

#define CT_AF_INET 2
#define CT_AF_INET6 10
#define CT_IPPROTO_TCP 6

#ifdef CT_CAST
/*
 * The verifier knows this address as one of a struct tcp_sock: plain loads read it, where each bpf_probe_read would
 * cost some 15 ns. What cannot be read is 0, as with bpf_probe_read. It is a call of a kernel function, of which the
 * verifier leaves a move. But then the verifier has more to do, so only what runs often asks for it, and once.
 */
static u64 (*ct_cast)(u64 address, u64 type) = (void *)CT_CAST;
#define CT_TYPED 1
#define ct_typed(key) ((struct sock *)ct_cast(key, CT_CAST_TO))
#else
#define CT_TYPED 0
#define ct_typed(key) ((struct sock *)(key))
#endif
#define CT_UNTYPED 0

/* typed, always a constant: whether place is reached from what ct_typed returned. */
#define CT_SOCK_READ(typed, to, place)                                                                                 \
	do {                                                                                                           \
		if (typed)                                                                                             \
			to = place;                                                                                    \
		else                                                                                                   \
			ct_read_kernel(&to, sizeof(to), (void *)&place);                                               \
	} while (0)

static __always_inline u32 ct_netns(struct sock *sk)
{
	struct net *net = 0;
	u32 inum = 0;

	CT_SOCK_READ(CT_TYPED, net, sk->__sk_common.skc_net.net);
	CT_SOCK_READ(CT_TYPED, inum, net->ns.inum);
	return inum;
}

static __always_inline u64 ct_cookie(struct sock *sk)
{
	u64 cookie = 0;

	CT_SOCK_READ(CT_TYPED, cookie, *(u64 *)&sk->__sk_common.skc_cookie);
	return cookie;
}

static __always_inline u8 ct_state(struct sock *sk)
{
	u8 state = 0;

	CT_SOCK_READ(CT_UNTYPED, state, *(u8 *)&sk->__sk_common.skc_state);
	return state;
}

static __always_inline int ct_is_tcp(struct sock *sk, int typed)
{
	u16 family = 0, protocol = 0;

	CT_SOCK_READ(typed, family, sk->__sk_common.skc_family);
	if (family != CT_AF_INET && family != CT_AF_INET6)
		return 0;
	CT_SOCK_READ(typed, protocol, sk->sk_protocol);
	return protocol == CT_IPPROTO_TCP;
}

static __always_inline u16 ct_local_port(struct sock *sk, int typed)
{
	u16 port = 0;

	/* inet_sport, not skc_num: the latter is 0 again by the time of the transition to CLOSE */
	CT_SOCK_READ(typed, port, *(u16 *)&((struct inet_sock *)sk)->inet_sport);
	return bpf_ntohs(port);
}

/* Who the two ends are. Where each read is a call, whatever its size, one takes all that lies together. */
static __always_inline void ct_read_tuple(struct sock *sk, int typed, struct ct_record *record)
{
	u64 *laddr = (u64 *)record->laddr, *raddr = (u64 *)record->raddr;
	u16 port = ct_local_port(sk, typed);
	u32 inum = 0;
	struct sock_common copy, *common = typed ? &sk->__sk_common : &copy;

	if (!typed) {
		__builtin_memset(&copy, 0, sizeof(copy));
		ct_read_kernel(&copy, sizeof(copy), &sk->__sk_common);
	}
	record->family = common->skc_family;
	if (record->family == CT_AF_INET) {
		*(u32 *)laddr = *(u32 *)&common->skc_rcv_saddr;
		*(u32 *)raddr = *(u32 *)&common->skc_daddr;
	} else {
#pragma unroll
		for (int i = 0; i < 2; i++) {
			laddr[i] = ((u64 *)&common->skc_v6_rcv_saddr)[i];
			raddr[i] = ((u64 *)&common->skc_v6_daddr)[i];
		}
	}
	record->rport = bpf_ntohs(*(u16 *)&common->skc_dport);
	if (port)
		record->lport = port;
	CT_SOCK_READ(typed, inum, common->skc_net.net->ns.inum);
	record->netns = inum;
	record->cookie = *(u64 *)&common->skc_cookie;
}

/* Inode of the descriptor's file, 0 while nothing holds one (accept queue, orphan). */
static __always_inline u64 ct_inode(struct sock *sk)
{
	struct socket *socket = 0;
	struct file *file = 0;
	struct inode *inode = 0;
	u64 number = 0;

	CT_SOCK_READ(CT_TYPED, socket, sk->sk_socket);
	if (!socket)
		return 0;
	CT_SOCK_READ(CT_TYPED, file, socket->file);
	if (!file)
		return 0;
	CT_SOCK_READ(CT_TYPED, inode, file->f_inode);
	CT_SOCK_READ(CT_TYPED, number, inode->i_ino);
	return number;
}

static __always_inline int ct_has_descriptor(struct sock *sk)
{
	struct socket *socket = 0;

	CT_SOCK_READ(CT_TYPED, socket, sk->sk_socket);
	return socket != 0;
}

static __always_inline int ct_owned(struct sock *sk)
{
	int owned = 0;

	CT_SOCK_READ(CT_TYPED, owned, *(int *)&sk->sk_lock.owned);
	return owned;
}

/* Bytes received and not read when FIN came: rcv_nxt already counts the FIN itself. */
static __always_inline u32 ct_unread(struct sock *sk)
{
	struct tcp_sock *tp = (struct tcp_sock *)sk;
	u32 next = 0, copied = 0;

	CT_SOCK_READ(CT_TYPED, next, tp->rcv_nxt);
	CT_SOCK_READ(CT_TYPED, copied, tp->copied_seq);
	return next - copied > 1 ? next - copied - 1 : 0;
}
