/* SPDX-License-Identifier: GPL-2.0-only */
/* The kernel destroys the socket: the end of its record. Any context. */

static __always_inline int ct_destroy(struct sock *sk)
{
	u64 key = (u64)sk, now;
	struct ct_record *record = ct_record_of(key);

	if (!record)
		return 0;
	now = bpf_ktime_get_ns();
#ifndef CT_CLOSE_HOOKED
	/* A socket that was reset before is closed without a transition: then this is the program's own call. */
	struct ct_suspect *suspect = suspects.lookup(&key);
	if (suspect && suspect->state == CT_CLOSE && record->ending.op != CT_OP_CLOSE)
		ct_end(record, key, CT_OP_CLOSE, 0, now);
#endif
	ct_retire(record, key, now);
	return 0;
}
