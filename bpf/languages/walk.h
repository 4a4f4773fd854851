/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the programs of all languages share. Each is called by a hook's program that has left a touch (CT_LEFT), with
 * the same task and on the same CPU, and is a CT_LANGUAGE. The walk itself needs no lock: it reads the caller's own
 * memory into this CPU's scratch. Two words for each frame are written into the box then.
 *
 * Calls of helpers are what takes time here: some 25 ns for bpf_probe_read_kernel and for a look into a hash, 75 ns for
 * bpf_probe_read_user, whatever the size up to some hundred bytes.
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
	u64 thread; /* the caller's thread pointer, */
	u32 tgid;   /* thread group, */
	u32 tid;    /* thread, */
	u64 sp;	    /* and stack pointer, */
	u64 copied; /* whose stack was copied from there on: so many bytes without a hole, */
	u64 copy;   /* to this place, */
	u64 box;    /* which lies in this box, */
	u64 sk;	    /* of this touch */
	u64 ns;
	u32 seq;
	u32 which;
	u64 answer; /* the values are those of this answer, as in languages */
	u64 values[CT_INTERPRETER_VALUES];
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

/* Who calls. */
static __always_inline void ct_find_caller(struct ct_walk *walk)
{
#ifdef CT_HAVE_TASK_PT_REGS
	struct task_struct *task = (struct task_struct *)bpf_get_current_task_btf();

	walk->tgid = task->tgid;
	walk->tid = task->pid;
#else
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	u64 id = bpf_get_current_pid_tgid();

	walk->tgid = id >> 32;
	walk->tid = (u32)id;
#endif
	CT_TASK_READ(walk->thread, task->CT_TASK_THREAD_POINTER);
}

/* The touch that was left, and its copy of the stack, in a box that nobody writes before another takes its place. */
static __always_inline int ct_find_touch(struct ct_walk *walk, u64 left)
{
	struct ct_box_head *head;
	u64 pages, most;

	walk->box = CT_LEFT_BOX(left);
	head = ct_head_of(walk->box, &pages);
	if (!head || head->tid != walk->tid)
		return 0;
	walk->sk = head->sk;
	walk->ns = head->ns;
	walk->seq = head->touch_seq;
	walk->which = head->which;
	most = ct_words_at(head, pages);
	walk->sp = head->registers[CT_REGISTER_SP];
	walk->copy = (u64)(head + 1);
	walk->copied = head->missing ? 0 : head->length < most ? head->length : most;
	return 1;
}

/* What user space knows of this process: kept from one touch to the next. */
static __always_inline int ct_learn(struct ct_walk *walk, u64 answer)
{
	u32 tgid = walk->tgid;
	struct ct_interpreter *known;

	if (walk->answer == answer)
		return 1;
	known = interpreters.lookup(&tgid);
	if (!known || known->language != (answer >> 32 & CT_ANY_LANGUAGE))
		return 0;
#pragma unroll
	for (int i = 0; i < CT_INTERPRETER_VALUES; i++)
		walk->values[i] = known->values[i];
	walk->answer = (u64)ct_told_of(known) << 32 | tgid; /* which may be newer */
	return 1;
}

/* Reads the caller's stack. As ct_read_user, which costs three times as much. */
static __always_inline long ct_read_stack(struct ct_walk *walk, void *to, u32 bytes, u64 from)
{
	u64 at = from - walk->sp;

	if (at < walk->copied && walk->copied - at >= bytes)
		return ct_read_kernel(to, bytes, (void *)(walk->copy + at));
	return ct_read_user(to, bytes, (void *)from);
}

/* Where the box has so many bytes of the caller's stack from an address on, for loads instead of a call; 0 if not. */
static __always_inline u64 *ct_in_box(struct ct_walk *walk, u64 from, u64 bytes)
{
	u64 at = from - walk->sp, pages;
	struct ct_box_head *head;

	if (at >= walk->copied || walk->copied - at < bytes)
		return 0;
	head = ct_head_of(walk->box, &pages);
	if (!head)
		return 0;
	asm volatile("" : "+r"(pages));
	CT_HIDE(at);
	if (at > pages * CT_PAGE - bytes)
		return 0;
	return (u64 *)((u8 *)(head + 1) + at);
}

/* Two words of the caller's stack. */
static __always_inline long ct_read_pair(struct ct_walk *walk, u64 *to, u64 from)
{
	u64 *copy = ct_in_box(walk, from, 2 * sizeof(u64));

	if (!copy)
		return ct_read_user(to, 2 * sizeof(u64), (void *)from);
	to[0] = copy[0];
	to[1] = copy[1];
	return 0;
}

#define CT_STEP 16 /* words that are copied at once */

static __always_inline void ct_write_words(u32 handle, struct ct_walk *walk)
{
	u64 pages, *to, *from = walk->words;
	struct ct_box_head *head = ct_head_of(handle, &pages);

	if (!head)
		return;
	asm volatile("" : "+r"(pages));
	ct_step(&head->seq);
	to = (u64 *)((u8 *)(head + 1) + ct_words_at(head, pages));
#pragma clang loop unroll(disable)
	for (u64 i = 0; i < 2 * CT_MOST_FRAMES; i += CT_STEP) {
		CT_HIDE(i);
		if (i > 2 * CT_MOST_FRAMES - CT_STEP || i >= 2 * walk->frames)
			break;
#pragma unroll
		for (int j = 0; j < CT_STEP; j++)
			to[i + j] = from[i + j];
	}
	head->frames = walk->frames;
	head->frames_end = walk->end;
	ct_step(&head->seq);
}

/* Under the record's lock, and only if the touch is still the one that was left and has its box. */
static __always_inline void ct_tell(struct ct_walk *walk)
{
	u64 key = walk->sk;
	struct ct_record *record = ct_find(key);
	struct ct_touch *touch;

	if (!record || !ct_lock_for_good(record))
		return;
	touch = ct_touch_of(record, walk->which);
	if (touch->box == (u32)walk->box && touch->seq == walk->seq && touch->ns == walk->ns && touch->tid == walk->tid)
		ct_write_words(walk->box, walk);
	ct_unlock(record);
}

/* bcc does not compile this within a macro. */
static __always_inline u64 ct_left(void)
{
	u32 zero = 0;
	u64 *left = handover.lookup(&zero);

	return left ? *left : 0;
}

/*
 * Programs may be preempted by others on their CPU (kernels with PREEMPT): then the later one goes without. Returns
 * this CPU's scratch, ready for a walk; 0 if there are no frames to be told.
 */
static __always_inline struct ct_walk *ct_begin_walk(u64 left, u64 language)
{
	u32 zero = 0;
	struct ct_walk *walk = walks.lookup(&zero);

	if (!walk || (left & CT_ANY_LANGUAGE) != language)
		return 0;
	__sync_fetch_and_add(&walk->busy, 1);
	if (*(volatile u32 *)&walk->busy != 1)
		goto none;
	ct_find_caller(walk);
	if (!ct_find_touch(walk, left) || !ct_learn(walk, left << 32 | walk->tgid))
		goto none;
	walk->frames = 0;
	walk->reads = 0;
	walk->end = CT_FRAMES_LIMIT;
	return walk;
none:
	__sync_fetch_and_add(&walk->busy, -1);
	return 0;
}

/* The end of a walk, whose frames are now told. */
static __always_inline void ct_end_walk(struct ct_walk *walk)
{
	ct_tell(walk);
	__sync_fetch_and_add(&walk->busy, -1);
}

/* The program of a language. find is a function that puts the frames into a struct ct_walk. */
#define CT_LANGUAGE(name, number, find)                                                                                \
	int name(void *ctx)                                                                                            \
	{                                                                                                              \
		struct ct_walk *walk = ct_begin_walk(ct_left(), number);                                               \
                                                                                                                       \
		if (!walk)                                                                                             \
			return 0;                                                                                      \
		find(walk);                                                                                            \
		ct_end_walk(walk);                                                                                     \
		return 0;                                                                                              \
	}
