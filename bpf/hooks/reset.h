/* SPDX-License-Identifier: GPL-2.0-only */
/* RST received or sent, so that a reset is told from an orderly end. Any context: nothing is taken from the task. */

static __always_inline int ct_reset(struct sock *sk, u32 flag)
{
	u64 key = (u64)sk;
	struct ct_record *record = sk ? ct_record_of(key) : 0;

	if (!record)
		return 0;
	record->reset_ns = bpf_ktime_get_ns();
	record->reset_flags |= flag;
	return 0;
}
