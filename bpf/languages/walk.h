/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the programs of all languages share. Each is called by a hook's program that has left touches (ct_leave), with
 * the same task and on the same CPU: ct_begin_walk, then two words for each frame, then ct_end_walk. The walk itself
 * needs no lock: it reads the caller's own memory into this CPU's scratch.
 */

#define CT_WALK_RAW 16384
#define CT_WALK_EXTRA 1024

/* Scratch: it stays in the cache, and what is in memory costs the verifier less than what is in registers. */
struct ct_walk {
	u32 busy;
	u32 frames;
	u32 end;   /* enum ct_frames_end */
	u32 reads; /* for the language: how many single reads it made */
	u64 words[2 * CT_MOST_FRAMES];
	u64 sp;	      /* of the caller, */
	u64 copied;   /* whose stack was copied from there on: so many bytes without a hole, */
	u64 copy;     /* to this place */
	u64 more[16]; /* for the language */
	u8 raw[CT_WALK_RAW + CT_WALK_EXTRA];
};
BPF_PERCPU_ARRAY(walks, struct ct_walk, 1);

/* At the head of a loop: keeps the compiler from reasoning about a value that the verifier must bound by itself. */
#define CT_HIDE(value) asm volatile("" : "+r"(value))

/* Where in the stack area of a box of so many pages the words lie: at the end of the near part. */
static __always_inline u64 ct_words_at(struct ct_box_head *head, u64 pages)
{
	return (head->gap ? pages - pages / CT_FAR_SHARE : pages) * CT_PAGE - CT_WORDS_BYTES;
}

/* The copy of the stack that the touch made, in a box that nobody writes before another touch takes its place. */
static __always_inline void ct_find_copy(struct ct_walk *walk)
{
	u32 zero = 0;
	struct ct_handover *from = handover.lookup(&zero);
	struct ct_box_head *head;
	u64 pages, most;

	walk->copied = 0;
	if (!from)
		return;
	head = ct_head_of(from->touches[0].ns == from->ns ? from->touches[0].box : from->touches[1].box, &pages);
	if (!head || head->missing)
		return;
	most = ct_words_at(head, pages);
	walk->sp = head->registers[CT_REGISTER_SP];
	walk->copy = (u64)(head + 1);
	walk->copied = head->length < most ? head->length : most;
}

/* Programs may be preempted by others on their CPU (kernels with PREEMPT): then the later one goes without. */
static __always_inline struct ct_walk *ct_begin_walk(void)
{
	u32 zero = 0;
	struct ct_walk *walk = walks.lookup(&zero);

	if (!walk)
		return 0;
	__sync_fetch_and_add(&walk->busy, 1);
	if (*(volatile u32 *)&walk->busy != 1) {
		__sync_fetch_and_add(&walk->busy, -1);
		return 0;
	}
	walk->frames = 0;
	walk->reads = 0;
	walk->end = CT_FRAMES_LIMIT;
	ct_find_copy(walk);
	return walk;
}

/* As ct_read_user, which costs five times as much. */
static __always_inline long ct_read_stack(struct ct_walk *walk, void *to, u32 bytes, u64 from)
{
	u64 at = from - walk->sp;

	if (at < walk->copied && walk->copied - at >= bytes)
		return ct_read_kernel(to, bytes, (void *)(walk->copy + at));
	return ct_read_user(to, bytes, (void *)from);
}

static __always_inline void ct_write_words(u32 handle, struct ct_walk *walk)
{
	u64 pages;
	struct ct_box_head *head = ct_head_of(handle, &pages);

	if (!head)
		return;
	asm volatile("" : "+r"(pages));
	ct_step(&head->seq);
	ct_read_kernel((u8 *)(head + 1) + ct_words_at(head, pages), CT_AT_MOST(walk->frames * 16, CT_WORDS_BYTES),
		       walk->words);
	head->frames = walk->frames;
	head->frames_end = walk->end;
	ct_step(&head->seq);
}

/* Under the record's lock, and only if the touch is still the one that was left and has its box. */
static __always_inline void ct_tell(struct ct_left *left, struct ct_walk *walk)
{
	u64 key = left->sk;
	struct ct_record *record = sockets.lookup(&key);
	struct ct_touch *touch;

	if (!record || !ct_lock_for_good(record))
		return;
	touch = ct_touch_of(record, left->which);
	if (touch->box && touch->box == left->box && touch->seq == left->seq && touch->ns == left->ns &&
	    touch->tid == (u32)bpf_get_current_pid_tgid())
		ct_write_words(touch->box, walk);
	ct_unlock(record);
}

/* The end of a walk, whose frames are now told in the boxes of the touches that were left. */
static __always_inline int ct_end_walk(struct ct_walk *walk)
{
	u32 zero = 0, turn;
	struct ct_handover *from = handover.lookup(&zero);

	if (from) {
#pragma clang loop unroll(disable)
		for (turn = 0; turn < 2; turn++) {
			CT_HIDE(turn);
			if (turn > 1)
				break;
			if (from->touches[turn].ns == from->ns)
				ct_tell(&from->touches[turn], walk);
		}
	}
	__sync_fetch_and_add(&walk->busy, -1);
	return 0;
}
