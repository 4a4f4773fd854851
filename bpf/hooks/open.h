/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who opened a socket. connect needs no hook of its own: the transition to SYN_SENT is made in the caller's call
 * (hooks/state.h). accept is no transition, so it has one; without it the first touch stands in. Returns what
 * is left to the language's program (CT_LEFT), 0 if nothing is.
 */

static __always_inline u64 ct_accepted(struct sock *sk)
{
	u64 key = (u64)sk, now = bpf_ktime_get_ns();
	struct ct_record *record;

	if (!sk)
		return 0;
	record = ct_record_of(key);
	if (!record) {
		if (!ct_task_in_scope())
			return 0;
		record = ct_create(sk, key, CT_UNTYPED, CT_R_PASSIVE, ct_state(sk), now);
		if (!record)
			return 0;
	}
	if (ct_is_foreign(record)) {
		ct_remove(record, key, 0, now);
		return 0;
	}
	record->flags |= CT_R_ACCEPTED;
	return ct_touch(record, CT_WHICH_OPENED, CT_OP_ACCEPT, 0, 0, now);
}
