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
#define V8_WINDOWS 8
#define V8_STEPS 128
#define V8_BELOW 16 /* where the function lies, from the frame pointer down; the context follows it */
#define V8_BYTES 24 /* function, context, the caller's frame pointer */
#define V8_IS_OBJECT(word) (((word)&3) == 1)

#define v8_fp walk->more[0]
#define v8_base walk->more[1] /* of the window, and its length */
#define v8_length walk->more[2]
#define v8_end walk->more[3] /* of the stack */
#define v8_windows walk->more[4]

/* Copies the stack from an address on. Beyond a page that is not in memory it does not look. */
static __always_inline int v8_look(struct ct_walk *walk, u64 from)
{
	u64 length = v8_end - from;

	if (from >= v8_end || v8_windows >= V8_WINDOWS)
		return 0;
	v8_windows++;
	if (ct_read_user(walk->raw, CT_AT_MOST(length, V8_WINDOW), (void *)from)) {
		length = CT_PAGE - (from & (CT_PAGE - 1));
		if (ct_read_user(walk->raw, CT_AT_MOST(length, CT_PAGE), (void *)from))
			return 0;
	}
	v8_base = from;
	v8_length = CT_AT_MOST(length, V8_WINDOW);
	return 1;
}

/*
 * Without frame pointers in C++: the frame by which JavaScript called it. It has its type below its frame pointer, and
 * there is the caller's frame pointer, which lies higher.
 */
static __always_inline void v8_search(struct ct_walk *walk, u64 exits)
{
	u64 type, up, at;

	v8_fp = 0;
#pragma clang loop unroll(disable)
	for (u32 i = 0; i < V8_WINDOW / 8 - 1; i++) {
		CT_HIDE(i);
		if (i >= V8_WINDOW / 8 - 1)
			return;
		at = i * 8;
		if (at + 16 > v8_length)
			return;
		type = *(u64 *)(walk->raw + at);
		up = *(u64 *)(walk->raw + at + 8);
		if (type & 1 || type >= 128 || !(exits >> (type >> 1 & 63) & 1))
			continue;
		if (up > v8_base + at + 8 && up < v8_end && !(up & 7)) {
			v8_fp = v8_base + at + 8;
			return;
		}
	}
}

/* Tells the frame if it is one of JavaScript, and goes on to its caller. Is there one, and room for more? */
static __always_inline int v8_step(struct ct_walk *walk, struct ct_interpreter *v8)
{
	u64 fp = v8_fp, at = fp - V8_BELOW - v8_base, function, context, up, shared = 0;

	if (at >= v8_length || v8_length - at < V8_BYTES) {
		if (!v8_look(walk, fp - V8_BELOW) || v8_length < V8_BYTES) {
			walk->end = CT_FRAMES_UNREAD;
			return 0;
		}
		at = 0;
	}
	CT_HIDE(at);
	at &= V8_WINDOW - 1;
	function = *(u64 *)(walk->raw + at);
	context = *(u64 *)(walk->raw + at + 8);
	up = *(u64 *)(walk->raw + at + 16);
	if (V8_IS_OBJECT(function) && V8_IS_OBJECT(context)) {
		if (walk->reads >= v8->values[V8_READS])
			return 0;
		walk->reads++;
		if (!ct_read_user(&shared, sizeof(shared), (void *)(function - 1 + v8->values[V8_SHARED])) &&
		    V8_IS_OBJECT(shared) && !ct_add_frame(walk, fp, shared))
			return 0;
	}
	if (up <= fp || up & 7) {
		walk->end = CT_FRAMES_COMPLETE;
		return 0;
	}
	v8_fp = up;
	return 1;
}

static __always_inline void v8_walk(struct ct_walk *walk, struct ct_interpreter *v8)
{
	struct ct_user user = {};
	u64 exits = v8->values[V8_EXITS], fp = 0;

	ct_user_of_task(&user);
	CT_TASK_READ(fp, user.regs->CT_PT_REGS_FP);
	v8_end = ct_stack_end(user.task, user.sp);
	v8_windows = 0;
	v8_base = v8_length = 0;
	v8_fp = fp;
	if (exits) {
		if (v8_look(walk, user.sp))
			v8_search(walk, exits);
	}
	if (v8_fp < user.sp || v8_fp >= v8_end) {
		walk->end = CT_FRAMES_NO_THREAD;
		return;
	}
#pragma clang loop unroll(disable)
	for (u32 i = 0; i < V8_STEPS; i++) {
		CT_HIDE(i);
		if (i >= V8_STEPS || !v8_step(walk, v8))
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
