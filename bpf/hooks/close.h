/* SPDX-License-Identifier: GPL-2.0-only */
/* shutdown and close by the program: its own last word on the socket. Caller's context. */

#ifdef CT_ALWAYS_END_STACK
#define CT_END_STACK(lingered) 1
#else
/* A close in good time is not worth a stack: only those that end a suspicion keep one. */
#define CT_END_STACK(lingered) (lingered)
#endif

static __always_inline int ct_lingered(u64 key, u64 now)
{
	struct ct_suspect *suspect = suspects.lookup(&key);
	return suspect && now - suspect->since_ns >= CT_LINGER_NS;
}

static __always_inline void ct_end(struct ct_record *record, u64 key, u32 op, s32 how, u64 now)
{
	u32 flags = CT_END_STACK(ct_lingered(key, now)) ? 0 : CT_TOUCH_UNWANTED;

	ct_touch(record, &record->ending, CT_WHICH_ENDING, op, how, flags, now);
}

static __always_inline int ct_close(struct sock *sk)
{
	u64 key = (u64)sk;
	struct ct_record *record = sockets.lookup(&key);

	if (record)
		ct_end(record, key, CT_OP_CLOSE, 0, bpf_ktime_get_ns());
	return 0;
}

/* how: 0 SHUT_RD (no transition follows), 1 SHUT_WR, 2 SHUT_RDWR. The kernel passes how + 1 (RCV_SHUTDOWN is bit 0). */
static __always_inline int ct_shutdown(struct sock *sk, int how)
{
	u64 key = (u64)sk;
	struct ct_record *record = sockets.lookup(&key);

	if (record)
		ct_end(record, key, CT_OP_SHUTDOWN, how, bpf_ktime_get_ns());
	return 0;
}
