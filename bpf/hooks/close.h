/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * shutdown and close by the program: its own last word on the socket. Caller's context. Both return what is left
 * to the language's program (CT_LEFT), 0 if nothing is.
 */

static __always_inline u64 ct_close(struct sock *sk)
{
	u64 key = (u64)sk;
	struct ct_record *record = ct_record_of(key);

	return record ? ct_end(record, CT_OP_CLOSE, 0, bpf_ktime_get_ns()) : 0;
}

/* how: 0 SHUT_RD (no transition follows), 1 SHUT_WR, 2 SHUT_RDWR. The kernel passes how + 1 (RCV_SHUTDOWN is bit 0). */
static __always_inline u64 ct_shutdown(struct sock *sk, int how)
{
	u64 key = (u64)sk;
	struct ct_record *record = ct_record_of(key);

	return record ? ct_end(record, CT_OP_SHUTDOWN, how, bpf_ktime_get_ns()) : 0;
}
