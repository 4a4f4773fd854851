/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The one wire layout: what the kernel side writes and tracer/flight/layout.py reads.
 * A test compares the two, field by field. Times are CLOCK_MONOTONIC nanoseconds (bpf_ktime_get_ns).
 */
#ifndef CT_RECORD_H
#define CT_RECORD_H

#define CT_TRANSITIONS 8
#define CT_PAGE 4096
#define CT_REGISTERS 21
/* which of the registers is the stack pointer */
#define CT_REGISTER_SP (__builtin_offsetof(struct pt_regs, CT_PT_REGS_SP) / sizeof(u64))

/*
 * The helpers by names of our own: at the sight of bpf_probe_read_user bcc looks through /proc/kallsyms for it, which
 * doubles the time to compile. Both are in every kernel since 5.5.
 */
static long (*ct_read_user)(void *to, u32 size, const void *from) = (void *)BPF_FUNC_probe_read_user;
static long (*ct_read_kernel)(void *to, u32 size, const void *from) = (void *)BPF_FUNC_probe_read_kernel;

enum ct_op {
	CT_OP_NONE = 0,
	CT_OP_CONNECT = 1,
	CT_OP_ACCEPT = 2,
	CT_OP_RECV = 3,
	CT_OP_SEND = 4,
	CT_OP_SHUTDOWN = 5,
	CT_OP_CLOSE = 6,
};

/* ct_touch.flags */
#define CT_TOUCH_PEEK 1u      /* MSG_PEEK: looked, took nothing */
#define CT_TOUCH_KERNEL 2u    /* a kernel thread or io worker: there is no user stack */
#define CT_TOUCH_EXITING 4u   /* the task was exiting: its memory is gone */
#define CT_TOUCH_COMPAT 8u    /* a 32-bit task */
#define CT_TOUCH_NO_BOX 16u   /* the stack memory was spent */
#define CT_TOUCH_UNWANTED 32u /* no stack was asked for at this touch */
#define CT_TOUCH_SPARED 64u   /* no stack, so that tracing costs no more than the user allows */

/*
 * A box is known by its handle, here and in user space. 0 is none. CT_SMALL_BOX and CT_DEEP_BOX tell that it lies in
 * the pool of small or of deep ones, the other bits count from 1. The free lists hold handles; only who touches a
 * pool's memory needs the index.
 */
#define CT_SMALL_BOX 0x80000000u
#define CT_DEEP_BOX 0x40000000u
#define CT_BOX_INDEX(handle) (((handle) & ~(CT_SMALL_BOX | CT_DEEP_BOX)) - 1)
#define CT_SMALL_STACK 4096
/* Of a box with a gap one page in so many, the last ones, are the far part: what lies at the stack's end. */
#define CT_FAR_SHARE 4

/*
 * Words that an interpreter's frames were told by, two for each frame, innermost first: what they mean is the
 * language's affair (bpf/languages/). In a box of a process with an interpreter they have the last CT_WORDS_BYTES of
 * its near part, and the copy of the stack is so much shorter.
 */
#define CT_MOST_FRAMES 64
#define CT_WORDS_BYTES (CT_MOST_FRAMES * 16)
#define CT_FRAMES_PENDING 0xff

/* One call on the socket, with its box; once drained, box is 0 and stack names the interned stack. */
struct ct_touch {
	u64 ns;
	s32 ret;
	u32 pid;
	u32 tid;
	s32 syscall;
	char comm[16];
	u8 op;
	u8 cpu; /* whose stash the box goes back to, see struct ct_stash */
	u16 flags;
	u32 box;
	u32 stack;
	u32 seq;
};

/* ct_transition.flags: the raw facts from which tracer/model/origin.py tells who caused it */
#define CT_TR_OWNED 1u	     /* sk_lock.owned: some process is inside a call on the socket */
#define CT_TR_RESET_PEER 2u  /* tcp_receive_reset came before */
#define CT_TR_RESET_LOCAL 4u /* tcp_send_reset came before */
#define CT_TR_OPEN_FD 8u     /* sk_socket was set: a descriptor still refers to it */

struct ct_transition {
	u64 ns;
	u8 old_state;
	u8 new_state;
	u16 flags;
	u32 tid;
};

/* ct_record.flags */
#define CT_R_PASSIVE 1u	 /* its life began as a connection request to a listener */
#define CT_R_ACTIVE 2u	 /* its life began with connect */
#define CT_R_ADOPTED 4u	 /* first seen in mid life: older than the trace, or opened out of scope */
#define CT_R_ACCEPTED 8u /* accept returned it */
#define CT_R_OPENED_LATE 16u
#define CT_R_LOOPS 32u /* its process receives in an event loop: sends are kept apart, in sent */

/* Calls and bytes of one direction each, and reads that returned 0. */
struct ct_counts {
	u64 rx_bytes;
	u64 tx_bytes;
	u32 rx_calls;
	u32 tx_calls;
	u32 eof_reads;
	u32 pad;
};

/*
 * The flight record of one socket, overwritten in place. Its order is that of cache lines of 64 bytes: a record begins
 * with one, and its size keeps all records so. A call touches the first three, a transition the first two and the one
 * with its slot of transitions.
 */
struct ct_record {
	u64 sk;
	u64 birth_ns;
	u32 busy; /* trylock of the counts, the four touches and their boxes: who finds it taken skips, and counts */
	u16 family;
	u8 state;
	u8 flags;
	struct ct_counts counts;

	u64 last_rx_ns;
	u64 last_tx_ns;
	u32 transitions_seen;
	u32 reset_flags;
	u64 state_ns;	  /* last transition; in a record that ended, its end */
	u64 suspect_ns;	  /* since when it is a suspect, 0 if it never was one */
	u8 suspect_state; /* in which state it is one, 0 if it is none (any more) */
	u8 way;		  /* where the table of records has it: */
	u8 passed;	  /* after so many buckets that it passed by */
	u8 closed;	  /* ending is a close */
	u32 bucket;
	u32 netns;
	u16 lport;
	u16 rport;
	u64 cookie;
	u32 gone;    /* trylock, never given back: who takes the record away */
	u32 to_line; /* here and below: so that what follows begins with a cache line */

	struct ct_touch last;
	u64 inode;

	u8 laddr[16];
	u8 raddr[16];
	u32 missed;
	u32 unread_at_fin;
	u64 fin_ns;
	u64 reset_ns;
	struct ct_touch opened;
	struct ct_touch eof;
	struct ct_touch ending;	    /* the shutdown or close that the program made */
	struct ct_touch sent;	    /* CT_R_LOOPS: the last send, which receives do not overwrite */
	struct ct_counts contended; /* of those who found it busy */
	u64 to_last_lines;

	struct ct_transition transitions[CT_TRANSITIONS];
};

/*
 * The table of records: each bucket is one cache line, and has the places of CT_WAYS records in the array `sockets`.
 * The address of a socket, halved, tells its bucket. If that is full, the record goes into the next of CT_PROBES, and
 * the bucket counts it as passed by: who looks for a record goes on only from such a bucket (bpf/table.h). If all are
 * full, it gets a place in the buckets after the CT_BUCKETS first ones, and the hash `crowded` tells which.
 */
#define CT_WAYS 7
#define CT_PROBES 3
struct ct_bucket {
	u64 keys[CT_WAYS]; /* 0: free */
	u32 passed;
	u32 busy; /* trylock of who inserts */
};

/* What Python reads every interval: which records of a bucket are of suspects, 1 for each that is, else 0. */
struct ct_marks {
	u8 ways[8];
};

/*
 * User registers at one touch, whose stack follows, from the stack pointer upwards. seq is odd while it is written.
 * gap: how many bytes were left out before the far part (CT_FAR_SHARE), 0 if none were. missing: pages that were not in
 * memory, by bits: the first one of the copy is bit 0; those of the far part follow, from the bit after as many as the
 * near part can touch. language: whose frames are told at the box's end, 0 if nobody's. frames: how many, or
 * CT_FRAMES_PENDING until its program has told them; frames_end: why there are no more (enum ct_frames_end).
 */
struct ct_box_head {
	u32 seq;
	u32 length;
	u64 sk;
	u64 birth_ns;
	u64 ns;
	u32 pid;
	u32 tid;
	u32 touch_seq;
	u8 which;
	u8 language;
	u8 frames;
	u8 frames_end;
	u32 missing;
	u32 gap;
	u64 registers[CT_REGISTERS];
};

struct ct_box {
	struct ct_box_head head;
	u8 stack[CT_STACK_BYTES];
};

#ifdef CT_DEEP_STACK
/* Large buffers on the stack (libuv, Node) and deep call chains need this. */
struct ct_deep_box {
	struct ct_box_head head;
	u8 stack[CT_DEEP_STACK];
};
#endif

/* Most stacks are a few KiB deep: there is room for more of them than there would be if all boxes were of one size. */
struct ct_small_box {
	struct ct_box_head head;
	u8 stack[CT_SMALL_STACK];
};

/*
 * Free boxes of one kind that one CPU used last, last in, first out: they are in its cache, and no other CPU waits for
 * the same lock. Who frees a box gives it back to the CPU that took it. What finds no room here goes into the list of
 * all CPUs.
 */
#define CT_STASHED 14
struct ct_stash {
	u32 busy; /* trylock: a program may interrupt another one on its CPU */
	u32 count;
	u32 boxes[CT_STASHED];
};

/* which touch of the record a box belongs to */
enum ct_which {
	CT_WHICH_OPENED = 1,
	CT_WHICH_LAST = 2,
	CT_WHICH_EOF = 3,
	CT_WHICH_ENDING = 4,
	CT_WHICH_EVENT = 5, /* in flight to user space with a ct_event, which then owns it */
	CT_WHICH_SENT = 6,
};

/* ct_box_head.frames_end */
enum ct_frames_end {
	CT_FRAMES_NONE = 0,	 /* none were taken (yet) */
	CT_FRAMES_COMPLETE = 1,	 /* down to the thread's first frame */
	CT_FRAMES_LIMIT = 2,	 /* as many as one call may cost */
	CT_FRAMES_UNREAD = 3,	 /* the next one could not be read */
	CT_FRAMES_NO_THREAD = 4, /* the interpreter does not know this thread */
};

/*
 * What user space knows of the interpreter in a process. language 0: none, or none yet. sure: it has looked, and will
 * not look again. marks are flags for the records of the sockets that it uses. values are that language's own
 * (bpf/languages/); version is another one each time that user space tells them, and 0 where there is no language.
 */
#define CT_INTERPRETER_VALUES 15
struct ct_interpreter {
	u8 language;
	u8 marks;
	u16 version;
	u32 sure;
	u64 values[CT_INTERPRETER_VALUES];
};

/* A transition for `tail`. */
struct ct_event {
	u64 ns;
	u64 in_old_ns; /* 0 if not known */
	u64 sk;
	u64 cookie;
	u8 laddr[16];
	u8 raddr[16];
	u32 netns;
	u16 lport;
	u16 rport;
	u16 family;
	u8 old_state;
	u8 new_state;
	u32 flags;
	u32 pid; /* the recorded owner, 0 if unknown */
	u32 tid;
	char comm[16];
	u32 box;
	u32 pad;
};

/* Who made a process by fork, and when. */
struct ct_made {
	u64 ns;
	u32 by;
	u32 pad;
};

/* Indices of the counters map. */
enum ct_counter {
	CT_N_CREATED = 0,
	CT_N_DESTROYED = 1,
	CT_LOST_RECORDS = 2,
	CT_LOST_BOXES = 3,
	CT_LOST_EVENTS = 4,
	CT_LOST_CONTENDED = 5,
	CT_LOST_RETURNS = 6,
	CT_N_BOXES_TAKEN = 7,
	CT_N_BOXES_FREED = 8, /* by the kernel side; user space counts its own */
	CT_N_DEEP_TAKEN = 9,  /* of these the deep ones, which are few */
	CT_N_DEEP_FREED = 10,
	CT_COUNTERS = 11,
};

#endif
