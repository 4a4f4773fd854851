/* SPDX-License-Identifier: GPL-2.0-only */
/* The kernel destroys the socket: the end of its record. Any context. */

static __always_inline int ct_destroy(struct sock *sk)
{
	u64 key = (u64)sk;
	struct ct_record *record = ct_record_of(key);

	if (!record)
		return 0;
#ifndef CT_CLOSE_HOOKED
	/* A socket that was reset before is closed without a transition: then this is the program's own call. */
	if (record->suspect_state == CT_CLOSE && !record->closed)
		ct_end(record, CT_OP_CLOSE, 0, bpf_ktime_get_ns());
#endif
	ct_retire(record, key);
	return 0;
}
