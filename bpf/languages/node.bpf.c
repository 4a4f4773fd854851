/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The frames of JavaScript in V8 (Node.js). They lie on the C stack, where the box has them, and all that V8 generates
 * keeps frame pointers (v8's src/execution/frame-constants.h): below the frame pointer is the context, and below that
 * the function, both with the low bits 01; V8's own frames have a number with the low bit 0 there. Functions move
 * within milliseconds, what all closures of one function share does not: that is the one word read of each.
 * Tells (frame pointer, SharedFunctionInfo) for each frame of JavaScript.
 */
#include "record.h"
#include "maps.h"
#include "task.h"
#include "interpreters.h"
#include "blackbox.h"
#include "table.h"
#include "languages/walk.h"

#define V8_LANGUAGE 2

/* struct ct_interpreter.values: tracer/stacks/languages/node/v8.py gives them in this order. */
enum {
	V8_SHARED, /* of a function, from its address on: its SharedFunctionInfo */
	V8_READS,  /* how many functions are read */
	V8_EXITS, /* frame types, a bit each, by which the first frame is searched; 0: the C++ code keeps frame pointers
		   */
};

#define V8_WINDOW 8192 /* bytes of the stack that are looked at together */
#define V8_WINDOWS 4
#define V8_SEARCHED 4096
#define V8_BUFFER 16384 /* what a write of a string has on its stack (node's src/stream_base.cc) */
#define V8_STEPS 128	/* frames, those of V8 itself included */
#define V8_BELOW 16	/* where the function lies, from the frame pointer down; the context follows it */
#define V8_PIECE 512ULL /* bytes around a function that are read at once, */
#define V8_PIECES 8	/* and how many of them are kept, behind the window */
#define V8_IS_OBJECT(word) (((word)&3) == 1)

#define v8_fp walk->more[0]
#define v8_base walk->more[1] /* of the window, and its length */
#define v8_length walk->more[2]
#define v8_end walk->more[3] /* of the stack */
#define v8_windows walk->more[4]
#define v8_pieces (walk->more + 8)

/* Copies the stack from an address on. Not out of the box: bpf_probe_read_kernel takes longer from 2 KiB on. */
static __always_inline int v8_look(struct ct_walk *walk, u64 from)
{
	v8_length = 0;
	if (from >= v8_end)
		return 0;
	v8_base = from;
	v8_length = CT_AT_MOST(v8_end - from, V8_WINDOW);
	return !ct_read_user(walk->raw, CT_AT_MOST(v8_end - from, V8_WINDOW), (void *)from);
}

/* Keeps the words of one more frame, if there is room. */
static __always_inline void v8_tell(struct ct_walk *walk, u64 fp, u64 shared)
{
	u32 at = walk->frames;

	if (at >= CT_MOST_FRAMES)
		return;
	CT_HIDE(at);
	at &= CT_MOST_FRAMES - 1;
	walk->words[2 * at] = fp;
	walk->words[2 * at + 1] = shared;
	walk->frames = at + 1;
}

/* 1 if less, without a branch: the verifier would follow both ways of each. Addresses are less than 2^63. */
#define V8_LESS(left, right) (((left) - (right)) >> 63)

/*
 * Without frame pointers in C++: the frame by which JavaScript called it. It has its type below its frame pointer, and
 * there is the caller's frame pointer, which lies higher.
 */
static __always_inline void v8_search(struct ct_walk *walk, u64 exits)
{
	u64 type, up, here, wrong;

#pragma clang loop unroll(disable)
	for (u32 i = 0; i < V8_SEARCHED / 8 - 1; i++) {
		CT_HIDE(i);
		if (i >= V8_SEARCHED / 8 - 1)
			return;
		type = *(u64 *)(walk->raw + i * 8);
		up = *(u64 *)(walk->raw + i * 8 + 8);
		here = v8_base + i * 8 + 8;
		wrong = (type & ~126ULL) | (up & 7);
		if (exits >> (type >> 1 & 63) & V8_LESS(here, v8_base + v8_length) & V8_LESS(here, up) &
		    V8_LESS(up, v8_end) & ~((wrong | -wrong) >> 63) & 1) {
			v8_fp = here;
			return;
		}
	}
}

/*
 * What is shared by all closures of a function. Functions that call each other often lie near each other, so what is
 * around is read as well. A piece lies in one page, as the word does.
 */
static __always_inline u64 v8_shared(struct ct_walk *walk, u64 function)
{
	u64 at = function - 1 + walk->values[V8_SHARED], piece = at / V8_PIECE % V8_PIECES;
	u8 *copy;

	CT_HIDE(piece);
	piece &= V8_PIECES - 1;
	copy = walk->raw + V8_WINDOW + piece * V8_PIECE;
	if (v8_pieces[piece] != at / V8_PIECE) {
		if (walk->reads >= walk->values[V8_READS])
			return 0;
		walk->reads++;
		v8_pieces[piece] = at / V8_PIECE;
		if (ct_read_user(copy, V8_PIECE, (void *)(at & -V8_PIECE)))
			v8_pieces[piece] = 0;
	}
	at &= V8_PIECE - sizeof(u64);
	CT_HIDE(at);
	return *(u64 *)(copy + (at & (V8_PIECE - sizeof(u64))));
}

/* What lies below and at a frame pointer: in the box, or in the window. */
struct v8_frame {
	u64 function;
	u64 context;
	u64 up; /* the caller's frame pointer */
};

/* Reads the frame at v8_fp. Returns 0 if it cannot be had. */
static __always_inline int v8_read(struct ct_walk *walk, struct v8_frame *frame)
{
	u64 from = v8_fp - V8_BELOW, at = from - v8_base;
	struct v8_frame *copy = (struct v8_frame *)ct_in_box(walk, from, sizeof(*frame));

	if (copy) {
		*frame = *copy;
		return 1;
	}
	if (at >= v8_length || v8_length - at < sizeof(*frame)) {
		if (v8_windows >= V8_WINDOWS)
			return 0;
		v8_windows++;
		if (!v8_look(walk, from)) {
			walk->end = CT_FRAMES_UNREAD;
			return 0;
		}
		at = 0;
	}
	CT_HIDE(at);
	*frame = *(struct v8_frame *)(walk->raw + (at & (V8_WINDOW - 1)));
	return 1;
}

/* Tells the frame if it is one of JavaScript, and goes on to its caller. Returns 0 at the end. */
static __always_inline int v8_step(struct ct_walk *walk)
{
	struct v8_frame frame = {};
	u64 shared;

	if (!v8_read(walk, &frame))
		return 0;
	if (V8_IS_OBJECT(frame.function) && V8_IS_OBJECT(frame.context)) {
		shared = v8_shared(walk, frame.function);
		if (!shared)
			return 0;
		if (V8_IS_OBJECT(shared))
			v8_tell(walk, v8_fp, shared);
	}
	if (frame.up <= v8_fp || frame.up & 7) {
		walk->end = CT_FRAMES_COMPLETE;
		return 0;
	}
	v8_fp = frame.up;
	return 1;
}

/* Finds the first frame. */
static __always_inline int v8_begin(struct ct_walk *walk)
{
	struct ct_user user = {};
	u64 exits = walk->values[V8_EXITS], fp = 0;

	ct_user_of_task(&user);
	CT_TASK_READ(fp, user.regs->CT_PT_REGS_FP);
	v8_end = ct_stack_end(user.task, user.sp);
	v8_fp = fp;
	v8_windows = v8_length = 0;
#pragma unroll
	for (int i = 0; i < V8_PIECES; i++)
		v8_pieces[i] = 0;
	if (exits) {
		v8_fp = 0;
#pragma clang loop unroll(disable)
		for (u32 i = 0; i < 2 && !v8_fp; i++) {
			CT_HIDE(i);
			if (i >= 2 || !v8_look(walk, user.sp + i * V8_BUFFER))
				return 0;
			v8_search(walk, exits);
		}
	}
	return v8_fp >= user.sp;
}

static __always_inline void v8_walk(struct ct_walk *walk)
{
	if (!v8_begin(walk)) {
		walk->end = CT_FRAMES_NO_THREAD;
		return;
	}
#pragma clang loop unroll(disable)
	for (u32 i = 0; i < V8_STEPS; i++) {
		CT_HIDE(i);
		if (i >= V8_STEPS || !v8_step(walk))
			return;
	}
}

CT_LANGUAGE(walk_node, V8_LANGUAGE, v8_walk)
