/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The frames of CPython. Those of 3.11 and later lie on the thread's data stack (pycore_frame.h): its top is copied at
 * once, and the chain is followed in the copy, since a read of user memory costs as much as twenty steps there. What
 * lies elsewhere is read frame by frame, up to a limit: coroutines and generators in the heap, entry frames on the C
 * stack, and all frames of earlier versions. Tells (code object, instruction | owner << 56) for each frame, and for
 * each evaluation loop, after its last frame, (address of its entry frame or cframe, 0xff << 56).
 */
#include "record.h"
#include "maps.h"
#include "task.h"
#include "interpreters.h"
#include "blackbox.h"
#include "languages/walk.h"

/* struct ct_interpreter.values: tracer/stacks/languages/cpython/layouts.py gives them in this order. */
enum {
	PY_SLOT,	 /* of the thread state, from the thread pointer on */
	PY_STATE_BYTES,	 /* how much of the thread state is read; the next three are offsets in it: */
	PY_STATE_FRAME,	 /* the newest frame, or the cframe, */
	PY_STATE_THREAD, /* the thread's id, which is its thread pointer, */
	PY_STATE_CHUNK,	 /* the data stack's newest chunk, which its top follows; 0 if there is none */
	PY_CFRAME,	 /* 1 + offset of the newest frame in the cframe, which the previous cframe follows; 0: none */
	PY_FRAME_BYTES,	 /* how much of a frame is read; the next four are offsets in it: */
	PY_FRAME_CODE,	 /* the code object, */
	PY_FRAME_PREVIOUS,    /* the frame that called, */
	PY_FRAME_INSTRUCTION, /* the instruction, of which PY_INSTRUCTION_MASK is kept, */
	PY_FRAME_OWNER,	      /* and a byte that says whose it is */
	PY_INSTRUCTION_MASK,
	PY_OWNERS, /* mask of that byte | the least that entry frames have << 8 | 1 + offset of is_entry << 16 (0: none)
		    */
	PY_READS,  /* how many frames are read one by one */
};

#define PY_COPY 8192		     /* bytes of the data stack's top, and of the chunk below it */
#define PY_ONE CT_WALK_RAW	     /* where in the scratch a frame lies that was read alone, */
#define PY_STATE (CT_WALK_RAW + 256) /* and the thread state */
#define PY_MOST_STATE 320
#define PY_ENTRY (0xffULL << 56)
#define PY_OBJECT (~7ULL) /* 3.14 keeps flags in the low bits of a reference */
#define PY_OFFSET(value) ((value)&127)
#define PY_STATE_OFFSET(value) ((value)&511)

/* struct _PyStackChunk (cpython's Include/internal/pycore_pystate.h or cpython/pystate.h) */
struct py_chunk {
	u64 previous;
	u64 size;
	u64 top; /* in words, from data on; valid in a chunk that is not the newest */
};

/*
 * Where a walk is: in the scratch, whose words the verifier knows nothing about. So there is one state of the loop for
 * it to follow, whichever way a round went.
 */
#define py_frame walk->more[0]	/* the frame that comes next */
#define py_cframe walk->more[1] /* of the loop that it is in */
#define py_cframe_before walk->more[2]
#define py_loop_ends walk->more[3] /* 3.11: the last frame of a loop was told, its cframe comes next */
#define py_place walk->more[4]
#define py_base walk->more[5] /* what was copied: two pieces, at 0 and at PY_COPY in the scratch */
#define py_length walk->more[6]
#define py_below walk->more[7]
#define py_below_length walk->more[8]

/* Copies the top of the data stack, and, where its newest chunk has little, the top of the chunk before. */
static __always_inline void py_copy(struct ct_walk *walk, u64 chunk, u64 top)
{
	struct py_chunk before = {};
	u64 length = top - chunk, left, previous;

	if (!top || top < chunk)
		return;
	length = CT_AT_MOST(length, PY_COPY);
	if (ct_read_user(walk->raw, length, (void *)(top - length)))
		return;
	py_base = top - length;
	py_length = length;
	left = PY_COPY - length;
	if (top - chunk > length || length < sizeof(before) || !left)
		return;
	previous = *(u64 *)walk->raw; /* the copy begins with the chunk's head */
	if (!previous || ct_read_user(&before, sizeof(before), (void *)previous))
		return;
	if (before.top > 1 << 28)
		return;
	length = sizeof(before) + before.top * 8;
	top = previous + length;
	length = CT_AT_MOST(length, left);
	if (ct_read_user(walk->raw + PY_COPY, CT_AT_MOST(length, PY_COPY), (void *)(top - length)))
		return;
	py_below = top - length;
	py_below_length = length;
}

/* Finds the thread's newest frame, and copies the top of its data stack. */
static __always_inline int py_begin(struct ct_walk *walk, struct ct_interpreter *py)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	u64 thread = 0, state = 0, cframe[2] = {}, chunk = py->values[PY_STATE_CHUNK];
	u8 *copy = walk->raw + PY_STATE;

	py_loop_ends = py_base = py_length = py_below = py_below_length = 0;
	ct_read_kernel(&thread, sizeof(thread), &task->CT_TASK_THREAD_POINTER);
	if (ct_read_user(&state, sizeof(state), (void *)(thread + py->values[PY_SLOT])) || !state)
		return 0;
	if (ct_read_user(copy, CT_AT_MOST(py->values[PY_STATE_BYTES], PY_MOST_STATE), (void *)state))
		return 0;
	if (*(u64 *)(copy + PY_STATE_OFFSET(py->values[PY_STATE_THREAD])) != thread)
		return 0;
	py_frame = *(u64 *)(copy + PY_STATE_OFFSET(py->values[PY_STATE_FRAME]));
	if (py->values[PY_CFRAME]) {
		py_cframe = py_frame;
		if (ct_read_user(cframe, sizeof(cframe), (void *)(py_cframe + py->values[PY_CFRAME] - 1)))
			return 0;
		py_frame = cframe[0];
		py_cframe_before = cframe[1];
	}
	if (chunk)
		py_copy(walk, *(u64 *)(copy + PY_STATE_OFFSET(chunk)), *(u64 *)(copy + PY_STATE_OFFSET(chunk) + 8));
	return py_frame != 0;
}

/* One read more? */
static __always_inline int py_may_read(struct ct_walk *walk, struct ct_interpreter *py)
{
	if (walk->reads >= py->values[PY_READS])
		return 0;
	walk->reads++;
	return 1;
}

/* Finds the place in the scratch where the frame lies, which is read if it is in no copy. 0 if it cannot be had. */
static __always_inline int py_find(struct ct_walk *walk, struct ct_interpreter *py, u64 frame)
{
	u64 at = frame - py_base, bytes = PY_OFFSET(py->values[PY_FRAME_BYTES]);

	if (at < py_length && py_length - at >= bytes) {
		py_place = at;
		return 1;
	}
	at = frame - py_below;
	if (at < py_below_length && py_below_length - at >= bytes) {
		py_place = PY_COPY + at;
		return 1;
	}
	if (!py_may_read(walk, py))
		return 0;
	py_place = PY_ONE;
	if (!ct_read_user(walk->raw + PY_ONE, bytes, (void *)frame))
		return 1;
	walk->end = CT_FRAMES_UNREAD;
	return 0;
}

/* The words of this frame. */
static __always_inline int py_tell(struct ct_walk *walk, struct ct_interpreter *py, u64 frame, u64 *words)
{
	u64 owners = py->values[PY_OWNERS], is_entry = owners >> 16 & 255, at, owner;
	u8 *place = walk->raw;

	if (!frame) {
		walk->end = CT_FRAMES_COMPLETE;
		return 0;
	}
	if (!py_find(walk, py, frame))
		return 0;
	at = py_place;
	CT_HIDE(at);
	if (at > PY_ONE)
		return 0;
	place += at;
	py_frame = *(u64 *)(place + PY_OFFSET(py->values[PY_FRAME_PREVIOUS]));
	owner = place[PY_OFFSET(py->values[PY_FRAME_OWNER])] & owners & 255;
	words[0] = *(u64 *)(place + PY_OFFSET(py->values[PY_FRAME_CODE])) & PY_OBJECT;
	words[1] = *(u64 *)(place + PY_OFFSET(py->values[PY_FRAME_INSTRUCTION])) & py->values[PY_INSTRUCTION_MASK];
	words[1] |= owner << 56;
	if (is_entry)
		py_loop_ends = place[PY_OFFSET(is_entry - 1)];
	if (owner >= (owners >> 8 & 255)) {
		words[0] = frame;
		words[1] = PY_ENTRY;
	}
	return 1;
}

/* 3.11: the words of an evaluation loop, by its cframe. */
static __always_inline int py_tell_loop(struct ct_walk *walk, struct ct_interpreter *py, u64 frame, u64 *words)
{
	words[0] = py_cframe;
	words[1] = PY_ENTRY;
	py_loop_ends = 0;
	if (!frame) /* the last one */
		return 1;
	py_cframe = py_cframe_before;
	if (!py_may_read(walk, py))
		return 0;
	if (!ct_read_user(&py_cframe_before, sizeof(u64),
			  (void *)(py_cframe + py->values[PY_CFRAME] - 1 + sizeof(u64))))
		return 1;
	walk->end = CT_FRAMES_UNREAD;
	return 0;
}

static __always_inline void py_walk(struct ct_walk *walk, struct ct_interpreter *py)
{
	if (!py_begin(walk, py)) {
		walk->end = CT_FRAMES_NO_THREAD;
		return;
	}
#pragma clang loop unroll(disable)
	for (u32 i = 0; i < CT_MOST_FRAMES; i++) {
		CT_HIDE(i);
		if (i >= CT_MOST_FRAMES)
			return;
		u64 *words = walk->words + 2 * i;

		if (py_loop_ends) {
			if (!py_tell_loop(walk, py, py_frame, words))
				return;
		} else if (!py_tell(walk, py, py_frame, words))
			return;
		walk->frames = i + 1;
	}
}

int walk_cpython(void *ctx)
{
	u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct ct_interpreter *py = interpreters.lookup(&tgid);
	struct ct_walk *walk;

	if (!py || py->language != 1)
		return 0;
	walk = ct_begin_walk();
	if (!walk)
		return 0;
	py_walk(walk, py);
	return ct_end_walk(walk);
}
