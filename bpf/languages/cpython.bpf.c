/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The frames of CPython. Those of 3.11 and later lie on the thread's data stack (pycore_frame.h): its top is copied at
 * once, and the chain is followed in the copy, since a read of user memory costs as much as twenty steps there. What
 * lies elsewhere is read frame by frame, up to a limit: coroutines and generators in the heap, entry frames on the C
 * stack (from its copy), and all frames of earlier versions. Tells (code object, instruction | owner << 56) for each
 * frame, and for each evaluation loop, after its last frame, (address of its entry frame or cframe, 0xff << 56).
 */
#include "record.h"
#include "maps.h"
#include "task.h"
#include "interpreters.h"
#include "blackbox.h"
#include "table.h"
#include "languages/walk.h"

/* struct ct_interpreter.values: tracer/stacks/languages/cpython/layouts.py gives them in this order. */
enum {
	PY_SLOT,	 /* see py_slot */
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
	PY_OWNERS, /* mask of that byte | the least that entry frames have << 8 | PY_IS_ENTRY << 16 | PY_IS_BOUND << 24
		    */
	PY_READS,  /* how many frames are read one by one */
	PY_MAIN_STATE, /* where the first thread's state lies, 0 if nobody knows */
};
/* Each 1 + offset of a byte, 0 if there is none: in a frame, whether it is its loop's last; in the thread state,
 * PY_BOUND. */
#define PY_IS_ENTRY(owners) ((owners) >> 16 & 255)
#define PY_IS_BOUND(owners) ((owners) >> 24 & 255)

#define PY_COPY 8192		/* bytes of the data stack's top, and of the chunk below it */
#define PY_ONE CT_WALK_RAW	/* where in the scratch a frame lies that was read alone */
#define PY_NOWHERE (PY_ONE + 1) /* not to be had */
#define PY_MOST_STATE 320
#define PY_ENTRY (0xffULL << 56)
#define PY_BOUND 8	  /* bound_gilstate: the slot has this state */
#define PY_OBJECT (~7ULL) /* 3.14 keeps flags in the low bits of a reference */
#define PY_OFFSET(value) ((value)&127)
#define PY_STATE_OFFSET(value) ((value)&511)

/* struct _PyStackChunk (cpython's Include/internal/pycore_pystate.h or cpython/pystate.h) */
struct py_chunk {
	u64 previous;
	u64 size;
	u64 top; /* in words, from data on; valid in a chunk that is not the newest */
};

/* What a walk knows, in the scratch: so the verifier knows nothing of it, and has one state of the loop to follow. */
#define py_cframe walk->more[0] /* of the evaluation loop that the walk is in */
#define py_cframe_before walk->more[1]
#define py_loop_ends walk->more[2] /* 3.11: the last frame of a loop was told, its cframe comes next */
#define py_base walk->more[3]	   /* what was copied: two pieces, at 0 and at PY_COPY in the scratch */
#define py_starts walk->more[4]	   /* in how many places of it a frame can begin and is whole */
#define py_below walk->more[5]
#define py_below_starts walk->more[6]

/* Until there are words: the thread state, before PY_MOST_STATE. */
#define py_state ((u8 *)walk->words)

static __always_inline u64 py_starts_of(u64 length, u64 bytes) { return length < bytes ? 0 : length - bytes + 1; }

/* Copies the top of the data stack, and, where its newest chunk has little, the top of the chunk before. */
static __always_inline void py_copy(struct ct_walk *walk, u64 chunk, u64 top)
{
	u64 length = top - chunk, left, previous, bytes = PY_OFFSET(walk->values[PY_FRAME_BYTES]);
	struct py_chunk before = {};

	if (!top || top < chunk)
		return;
	length = CT_AT_MOST(length, PY_COPY);
	if (ct_read_user(walk->raw, length, (void *)(top - length)))
		return;
	py_base = top - length;
	py_starts = py_starts_of(length, bytes);
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
	py_below_starts = py_starts_of(length, bytes);
}

/* Reads the state of this thread, if there it lies. */
static __always_inline int py_read_state(struct ct_walk *walk, u64 state)
{
	u64 bound = PY_IS_BOUND(walk->values[PY_OWNERS]);

	if (!state || ct_read_user(py_state, CT_AT_MOST(walk->values[PY_STATE_BYTES], PY_MOST_STATE), (void *)state))
		return 0;
	if (*(u64 *)(py_state + PY_STATE_OFFSET(walk->values[PY_STATE_THREAD])) != walk->thread)
		return 0;
	return !bound || py_state[bound - 1] & PY_BOUND;
}

/*
 * Where the C library keeps the state of a thread: from the thread pointer on by the lower half of PY_SLOT, or, where
 * the upper half is not 0, behind a pointer there, by that less 1.
 */
static __always_inline u64 py_slot(struct ct_walk *walk)
{
	u64 slot = walk->values[PY_SLOT], place = walk->thread + (s32)slot, pointer = 0;

	if (!(slot >> 32))
		return place;
	return ct_read_user(&pointer, sizeof(pointer), (void *)place) || !pointer ? 0 : pointer + (slot >> 32) - 1;
}

/* The newest frame of this thread, 0 if there is none. Copies the top of its data stack. */
static __always_inline u64 py_begin(struct ct_walk *walk)
{
	u64 state = 0, frame, cframe[2] = {}, chunk = walk->values[PY_STATE_CHUNK];

	py_loop_ends = py_starts = py_below_starts = 0;
	if (walk->tgid != walk->tid || !py_read_state(walk, walk->values[PY_MAIN_STATE])) {
		if (ct_read_user(&state, sizeof(state), (void *)py_slot(walk)) || !py_read_state(walk, state))
			return 0;
	}
	frame = *(u64 *)(py_state + PY_STATE_OFFSET(walk->values[PY_STATE_FRAME]));
	if (walk->values[PY_CFRAME]) {
		py_cframe = frame;
		if (ct_read_pair(walk, cframe, frame + walk->values[PY_CFRAME] - 1))
			return 0;
		frame = cframe[0];
		py_cframe_before = cframe[1];
	}
	if (chunk)
		py_copy(walk, *(u64 *)(py_state + PY_STATE_OFFSET(chunk)),
			*(u64 *)(py_state + PY_STATE_OFFSET(chunk) + 8));
	return frame;
}

/* One read more? */
static __always_inline int py_may_read(struct ct_walk *walk)
{
	if (walk->reads >= walk->values[PY_READS])
		return 0;
	walk->reads++;
	return 1;
}

/* As py_find, for a frame that does not lie in the newest chunk. */
static __always_inline u64 py_find_elsewhere(struct ct_walk *walk, u64 frame)
{
	u64 at = frame - py_below;

	if (at < py_below_starts)
		return PY_COPY + at;
	if (!py_may_read(walk))
		return PY_NOWHERE;
	if (!ct_read_stack(walk, walk->raw + PY_ONE, PY_OFFSET(walk->values[PY_FRAME_BYTES]), frame))
		return PY_ONE;
	walk->end = CT_FRAMES_UNREAD;
	return PY_NOWHERE;
}

/* Where in the scratch the frame lies, which is read if it is in no copy. More than PY_ONE if it cannot be had. */
static __always_inline u64 py_find(struct ct_walk *walk, u64 frame)
{
	u64 at = frame - py_base;

	return at < py_starts ? at : py_find_elsewhere(walk, frame);
}

/* Tells the words of the frame, which lies at this place. Returns the one that called it. */
static __always_inline u64 py_tell(struct ct_walk *walk, u8 *place, u64 frame, u64 *words)
{
	u64 owners = walk->values[PY_OWNERS], is_entry = PY_IS_ENTRY(owners), owner;

	owner = place[PY_OFFSET(walk->values[PY_FRAME_OWNER])] & owners & 255;
	words[0] = *(u64 *)(place + PY_OFFSET(walk->values[PY_FRAME_CODE])) & PY_OBJECT;
	words[1] =
		(*(u64 *)(place + PY_OFFSET(walk->values[PY_FRAME_INSTRUCTION])) & walk->values[PY_INSTRUCTION_MASK]) |
		owner << 56;
	if (is_entry)
		py_loop_ends = place[PY_OFFSET(is_entry - 1)];
	if (owner >= (owners >> 8 & 255)) {
		words[0] = frame;
		words[1] = PY_ENTRY;
	}
	return *(u64 *)(place + PY_OFFSET(walk->values[PY_FRAME_PREVIOUS]));
}

/* 3.11: the words of an evaluation loop, by its cframe. frame: the one that comes next. */
static __always_inline int py_tell_loop(struct ct_walk *walk, u64 frame, u64 *words)
{
	u64 cframe[2] = {};

	words[0] = py_cframe;
	words[1] = PY_ENTRY;
	py_loop_ends = 0;
	if (!frame) /* the last one */
		return 1;
	py_cframe = py_cframe_before;
	if (!py_may_read(walk))
		return 0;
	if (!ct_read_pair(walk, cframe, py_cframe + walk->values[PY_CFRAME] - 1)) {
		py_cframe_before = cframe[1];
		return 1;
	}
	walk->end = CT_FRAMES_UNREAD;
	return 0;
}

static __always_inline void py_walk(struct ct_walk *walk)
{
	u64 frame = py_begin(walk), at;

	walk->end = frame ? CT_FRAMES_LIMIT : CT_FRAMES_NO_THREAD;
	if (!frame)
		return;
#pragma clang loop unroll(disable)
	for (u64 i = 0; i < CT_MOST_FRAMES; i++) {
		CT_HIDE(i);
		if (i >= CT_MOST_FRAMES)
			return;
		if (py_loop_ends) {
			if (!py_tell_loop(walk, frame, walk->words + 2 * i))
				return;
			walk->frames = i + 1;
			continue;
		}
		if (!frame) {
			walk->end = CT_FRAMES_COMPLETE;
			return;
		}
		at = py_find(walk, frame);
		CT_HIDE(at);
		if (at > PY_ONE)
			return;
		frame = py_tell(walk, walk->raw + at, frame, walk->words + 2 * i);
		walk->frames = i + 1;
	}
}

CT_LANGUAGE(walk_cpython, 1, py_walk)
