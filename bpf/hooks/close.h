/* SPDX-License-Identifier: GPL-2.0-only */
/* shutdown and close by the program: its own last word on the socket. Caller's context. */

static __always_inline int ct_lingered(u64 key, u64 now)
{
	struct ct_suspect *suspect = suspects.lookup(&key);
	return suspect && now - suspect->since_ns >= CT_LINGER_NS;
}

/* A close in good time is not worth a stack: only one that ends a suspicion, and a shutdown that may be the last word.
 */
static __always_inline u32 ct_end_flags(u64 key, u32 op, u64 now)
{
#ifdef CT_ALWAYS_END_STACK
	return 0;
#else
	struct ct_suspect *suspect = suspects.lookup(&key);
	if (suspect && (op == CT_OP_SHUTDOWN || now - suspect->since_ns >= CT_LINGER_NS))
		return 0;
	return CT_TOUCH_UNWANTED;
#endif
}

static __always_inline void ct_end(struct ct_record *record, u64 key, u32 op, s32 how, u64 now)
{
	ct_touch(record, &record->ending, CT_WHICH_ENDING, op, how, ct_end_flags(key, op, now), now);
}

static __always_inline int ct_close(struct sock *sk)
{
	u64 key = (u64)sk;
	struct ct_record *record = ct_record_of(key);

	if (record)
		ct_end(record, key, CT_OP_CLOSE, 0, bpf_ktime_get_ns());
	return 0;
}

/* how: 0 SHUT_RD (no transition follows), 1 SHUT_WR, 2 SHUT_RDWR. The kernel passes how + 1 (RCV_SHUTDOWN is bit 0). */
static __always_inline int ct_shutdown(struct sock *sk, int how)
{
	u64 key = (u64)sk;
	struct ct_record *record = ct_record_of(key);

	if (record)
		ct_end(record, key, CT_OP_SHUTDOWN, how, bpf_ktime_get_ns());
	return 0;
}
