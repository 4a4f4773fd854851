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
static __always_inline void ct_hand_over(struct ct_record *record)
{
	if (endings.ringbuf_output(record, sizeof(*record), CT_RB_NO_WAKEUP)) {
		ct_count(CT_LOST_EVENTS);
		ct_free_boxes(record);
	}
}

static __always_inline void ct_retire(struct ct_record *record, u64 key, u64 now)
{
#ifdef CT_ALL_ENDINGS
	ct_hand_over(record);
#else
	if (ct_lingered(key, now))
		ct_hand_over(record);
	else
		ct_free_boxes(record);
#endif
	suspects.delete(&key);
	ct_forget(key);
}

static __always_inline int ct_destroy(struct sock *sk)
{
	u64 key = (u64)sk, now;
	struct ct_record *record = sockets.lookup(&key);

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
