/* SPDX-License-Identifier: GPL-2.0-only */
/* The end of a socket's life: its record is handed over if it is of interest, and its memory comes back. */

static __always_inline void ct_free_boxes(struct ct_record *record)
{
	ct_free_slot(record->opened.box);
	ct_free_slot(record->last.box);
	ct_free_slot(record->eof.box);
	ct_free_slot(record->ending.box);
}

/* With the record go its boxes: user space gives them back once it has read them. */
static __always_inline void ct_hand_over(struct ct_record *record, u64 now)
{
	record->state_ns = now;
	if (endings.ringbuf_output(record, sizeof(*record), CT_RB_NO_WAKEUP)) {
		ct_count(CT_LOST_EVENTS);
		ct_free_boxes(record);
	}
}

static __always_inline void ct_remove(struct ct_record *record, u64 key, int wanted, u64 now)
{
	if (!ct_lock_for_good(record))
		ct_count(CT_LOST_BOXES); /* freeing them beside run_drain would give a box two owners */
	else if (wanted)
		ct_hand_over(record, now);
	else
		ct_free_boxes(record);
	suspects.delete(&key);
	ct_forget(key);
}

static __always_inline void ct_retire(struct ct_record *record, u64 key, u64 now)
{
#ifdef CT_ALL_ENDINGS
	ct_remove(record, key, 1, now);
#else
	ct_remove(record, key, ct_lingered(key, now), now);
#endif
}

/*
 * A child of a listener in scope belongs to the process that takes it: with a shared listener (prefork servers) that
 * may be one out of scope, and then the socket is not ours after all.
 */
static __always_inline int ct_is_foreign(struct ct_record *record)
{
#ifdef CT_SCOPE_TASKS
	return (record->flags & (CT_R_PASSIVE | CT_R_ACCEPTED)) == CT_R_PASSIVE && !ct_task_in_scope();
#else
	return 0;
#endif
}

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
