/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The frames of Ruby (MRI). A thread's control frames are one array: it grows down from the end of the VM stack, which
 * has the values of the frames at its other end. Both tops are copied at once. Tells for each control frame (iseq,
 * pc | kind << 56), and for one of a C function (method entry, kind << 56).
 */
#include "record.h"
#include "maps.h"
#include "task.h"
#include "interpreters.h"
#include "blackbox.h"
#include "table.h"
#include "languages/walk.h"

/* struct ct_interpreter.values: tracer/stacks/languages/ruby/layouts.py gives them in this order. */
enum {
	RB_SLOT,	/* of ruby_current_ec, from the thread pointer on */
	RB_FRAME_BYTES, /* the size of a control frame */
};

/* The kinds of a frame, as bits. */
#define RB_FINISH 1	/* the first one of its vm_exec */
#define RB_C_FUNCTION 2 /* it has no iseq */
#define RB_UNREAD 4	/* its flags could not be read */
#define RB_KIND(kind) ((u64)(kind) << 56)

#define RB_FLAG_FINISH 0x20 /* VM_FRAME_FLAG_FINISH */
#define RB_VALUES 8192	    /* where in the scratch the values lie, */
#define RB_MOST_VALUES 8192 /* how many bytes of them are copied at most, */
#define RB_ONE CT_WALK_RAW  /* and where an environment that was read alone */
#define RB_MOST_FRAMES 4096 /* bytes of control frames */
#define RB_MOST_READS 16
#define RB_MOST_STACK (1 << 24)
#define RB_POINTER ((1ULL << 56) - 1)

/* struct rb_execution_context_struct and rb_control_frame_t (ruby's vm_core.h), since 3.1 */
struct rb_context {
	u64 vm_stack;
	u64 words; /* of the VM stack */
	u64 cfp;
};
struct rb_control_frame {
	u64 pc;
	u64 sp;
	u64 iseq;
	u64 self;
	u64 ep;
};
/* The last words of a frame's environment, of which ep is the address of the third (VM_ENV_DATA_INDEX_*). */
struct rb_environment {
	u64 method;
	u64 specval;
	u64 flags;
};

/* In the scratch, of whose words the verifier knows nothing. */
#define rb_at walk->more[0]	/* the next frame, in the copy, */
#define rb_more walk->more[1]	/* there are frames that were not copied */
#define rb_length walk->more[2] /* how many bytes of frames were copied */
#define rb_base walk->more[3]	/* the address of the first value that was copied, and how many bytes there are */
#define rb_values walk->more[4]

/* Copies the newest frames and the newest values. */
static __always_inline int rb_begin(struct ct_walk *walk)
{
	u64 ec = 0, end, length, top;
	struct rb_context context = {};

	rb_at = rb_more = rb_length = rb_base = rb_values = 0;
	if (ct_read_user(&ec, sizeof(ec), (void *)(walk->thread + walk->values[RB_SLOT])) || !ec)
		return 0;
	if (ct_read_user(&context, sizeof(context), (void *)ec))
		return 0;
	if (context.words > RB_MOST_STACK)
		return 0;
	end = context.vm_stack + context.words * 8;
	if (context.cfp < context.vm_stack || context.cfp >= end)
		return 0;
	length = CT_AT_MOST(end - context.cfp, RB_MOST_FRAMES);
	rb_more = end - context.cfp > length;
	if (ct_read_user(walk->raw, length, (void *)context.cfp))
		return 0;
	rb_length = length;
	top = ((struct rb_control_frame *)walk->raw)->sp;
	if (top <= context.vm_stack || top > context.cfp)
		return 1;
	length = CT_AT_MOST(top - context.vm_stack, RB_MOST_VALUES);
	if (ct_read_user(walk->raw + RB_VALUES, length, (void *)(top - length)))
		return 1;
	rb_base = top - length;
	rb_values = length;
	return 1;
}

/* The environment at ep, in the scratch; it may have moved to the heap. 0 if it cannot be had. */
static __always_inline struct rb_environment *rb_environment(struct ct_walk *walk, u64 ep)
{
	u64 at = ep - __builtin_offsetof(struct rb_environment, flags) - rb_base;
	u8 *place = walk->raw;

	if (at < rb_values && rb_values - at >= sizeof(struct rb_environment)) {
		CT_HIDE(at);
		if (at > RB_MOST_VALUES - sizeof(struct rb_environment))
			return 0;
		return (struct rb_environment *)(place + RB_VALUES + at);
	}
	if (walk->reads >= RB_MOST_READS)
		return 0;
	walk->reads++;
	if (ct_read_user(place + RB_ONE, sizeof(struct rb_environment),
			 (void *)(ep - __builtin_offsetof(struct rb_environment, flags))))
		return 0;
	return (struct rb_environment *)(place + RB_ONE);
}

/* The words of the next frame. */
static __always_inline int rb_tell(struct ct_walk *walk, u64 size, u64 *words)
{
	struct rb_control_frame *frame;
	struct rb_environment *environment;
	u64 at = rb_at, kind = 0;

	if (at + size > rb_length) {
		if (!rb_more)
			walk->end = CT_FRAMES_COMPLETE;
		return 0;
	}
	CT_HIDE(at);
	if (at > RB_MOST_FRAMES)
		return 0;
	frame = (struct rb_control_frame *)(walk->raw + at);
	words[0] = frame->iseq;
	words[1] = frame->pc & RB_POINTER;
	environment = rb_environment(walk, frame->ep);
	if (!environment)
		kind = RB_UNREAD;
	else if (environment->flags & RB_FLAG_FINISH)
		kind = RB_FINISH;
	if (!words[0]) {
		kind |= RB_C_FUNCTION;
		if (environment)
			words[0] = environment->method;
	}
	words[1] |= RB_KIND(kind);
	rb_at += size;
	return 1;
}

static __always_inline void rb_walk(struct ct_walk *walk)
{
	u64 size = walk->values[RB_FRAME_BYTES] & 127;

	if (size < sizeof(struct rb_control_frame) || !rb_begin(walk)) {
		walk->end = CT_FRAMES_NO_THREAD;
		return;
	}
#pragma clang loop unroll(disable)
	for (u32 i = 0; i < CT_MOST_FRAMES; i++) {
		CT_HIDE(i);
		if (i >= CT_MOST_FRAMES)
			return;
		if (!rb_tell(walk, size, walk->words + 2 * i))
			return;
		walk->frames = i + 1;
	}
}

CT_LANGUAGE(walk_ruby, 3, rb_walk)
