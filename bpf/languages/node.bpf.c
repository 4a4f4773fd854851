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
#define V8_STEPS 32	/* frames of one window */
#define V8_BELOW 16	/* where the function lies, from the frame pointer down; the context follows it */
#define V8_BYTES 24	/* function, context, the caller's frame pointer */
#define V8_IS_OBJECT(word) (((word)&3) == 1)

#define v8_fp walk->more[0]
#define v8_base walk->more[1] /* of the window, and its length */
#define v8_length walk->more[2]
#define v8_end walk->more[3] /* of the stack */

/* Copies the stack from an address on, out of the box where that has it. */
static __always_inline int v8_look(struct ct_walk *walk, u64 from)
{
	u64 length = v8_end - from, at = from - walk->sp;

	v8_length = 0;
	if (from >= v8_end)
		return 0;
	v8_base = from;
	if (at < walk->copied && walk->copied - at >= V8_BYTES) {
		length = walk->copied - at;
		v8_length = CT_AT_MOST(length, V8_WINDOW);
		return !ct_read_kernel(walk->raw, CT_AT_MOST(length, V8_WINDOW), (void *)(walk->copy + at));
	}
	v8_length = CT_AT_MOST(length, V8_WINDOW);
	return !ct_read_user(walk->raw, CT_AT_MOST(length, V8_WINDOW), (void *)from);
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

/* Of recursion: where a function that was read and what was read of it are kept. */
static __always_inline u64 *v8_known(struct ct_walk *walk, u64 function)
{
	u64 at = function >> 5;

	CT_HIDE(at);
	return &walk->more[8 + (at & 3) * 2];
}

enum v8_next {
	V8_CALLER, /* the caller's frame comes next */
	V8_BEYOND, /* the frame is not in the window */
	V8_END,
};

/* Tells the frame if it is one of JavaScript, and goes on to its caller. */
static __always_inline enum v8_next v8_step(struct ct_walk *walk, struct ct_interpreter *v8)
{
	u64 fp = v8_fp, at = fp - V8_BELOW - v8_base, function, context, up, shared = 0;

	if (at >= v8_length || v8_length - at < V8_BYTES)
		return V8_BEYOND;
	CT_HIDE(at);
	at &= V8_WINDOW - 1;
	function = *(u64 *)(walk->raw + at);
	context = *(u64 *)(walk->raw + at + 8);
	up = *(u64 *)(walk->raw + at + 16);
	if (V8_IS_OBJECT(function) && V8_IS_OBJECT(context)) {
		if (*v8_known(walk, function) != function) {
			if (walk->reads >= v8->values[V8_READS])
				return V8_END;
			walk->reads++;
			ct_read_user(&shared, sizeof(shared), (void *)(function - 1 + v8->values[V8_SHARED]));
			*v8_known(walk, function) = function;
			v8_known(walk, function)[1] = shared;
		}
		shared = v8_known(walk, function)[1];
		if (V8_IS_OBJECT(shared))
			v8_tell(walk, fp, shared);
	}
	if (up <= fp || up & 7) {
		walk->end = CT_FRAMES_COMPLETE;
		return V8_END;
	}
	v8_fp = up;
	return V8_CALLER;
}

/* Goes through the frames in the window. Is the next one beyond it? */
static __always_inline int v8_steps(struct ct_walk *walk, struct ct_interpreter *v8)
{
	enum v8_next next;

#pragma clang loop unroll(disable)
	for (u32 i = 0; i < V8_STEPS; i++) {
		CT_HIDE(i);
		if (i >= V8_STEPS)
			return 0;
		next = v8_step(walk, v8);
		if (next != V8_CALLER)
			return next == V8_BEYOND;
	}
	return 1;
}

/* Finds the first frame. */
static __always_inline int v8_begin(struct ct_walk *walk, struct ct_interpreter *v8)
{
	struct ct_user user = {};
	u64 exits = v8->values[V8_EXITS], fp = 0;

	ct_user_of_task(&user);
	CT_TASK_READ(fp, user.regs->CT_PT_REGS_FP);
	v8_end = ct_stack_end(user.task, user.sp);
	v8_fp = fp;
#pragma unroll
	for (int i = 8; i < 16; i += 2)
		walk->more[i] = 0;
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

static __always_inline void v8_walk(struct ct_walk *walk, struct ct_interpreter *v8)
{
	if (!v8_begin(walk, v8)) {
		walk->end = CT_FRAMES_NO_THREAD;
		return;
	}
#pragma clang loop unroll(disable)
	for (u32 i = 0; i < V8_WINDOWS; i++) {
		CT_HIDE(i);
		if (i >= V8_WINDOWS)
			return;
		if (!v8_look(walk, v8_fp - V8_BELOW)) {
			walk->end = CT_FRAMES_UNREAD;
			return;
		}
		if (!v8_steps(walk, v8))
			return;
	}
}

int walk_node(void *ctx)
{
	u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct ct_interpreter *v8 = interpreters.lookup(&tgid);
	struct ct_walk *walk;

	if (!v8 || v8->language != V8_LANGUAGE)
		return 0;
	walk = ct_begin_walk();
	if (!walk)
		return 0;
	v8_walk(walk, v8);
	return ct_end_walk(walk);
}
