/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Not a hook: user space runs this through BPF_PROG_TEST_RUN (raw tracepoints, kernel 5.10, commit 1b4d60ec162f) after
 * it has unwound a box, to put the interned stack's number in its place. Under the record's lock, and only if the touch
 * is still the one that was read, so a box can never have two owners.
 */
static __always_inline int ct_drain(u64 key, u64 which, u64 seq, u64 box, u64 stack, u64 birth_ns)
{
	struct ct_record *record = ct_find(key);
	struct ct_touch *touch;
	int done = 0;

	if (!record || !ct_try_lock(record))
		return 0;
	touch = ct_touch_of(record, which);
	if (record->birth_ns == birth_ns && touch->box == (u32)box && touch->seq == (u32)seq) {
		ct_free_box(touch->box, touch->cpu);
		touch->box = 0;
		touch->stack = (u32)stack;
		done = 1;
	}
	ct_unlock(record);
	return done;
}
