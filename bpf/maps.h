/* SPDX-License-Identifier: GPL-2.0-only */
/* Every map, with who writes and who reads it. */

/* A number that is not known before load: the loader finds the instruction by the word and puts the number there
 * (tracer/kernel/objectcode.py). */
#define CT_PARAMETER(word)                                                                                             \
	({                                                                                                             \
		u64 ct_value;                                                                                          \
		asm volatile("%0 = " #word " ll" : "=r"(ct_value));                                                    \
		ct_value;                                                                                              \
	})

/* The compiler makes the map with one entry; how many there really are comes from the memory budget, at load
 * (Sizes.entries in tracer/kernel/source.py). */
#define CT_SIZED 1

/*
 * Keeps the compiler from making one call out of those before it in several branches (number differs in each). The
 * verifier puts an array's lookup in line only where one call always has the same map. Otherwise each lookup is two
 * calls, the second one through a pointer: some 15 % of what a touch costs.
 */
#define CT_OWN_CALL(number) asm volatile("" ::"i"(number))

struct ct_listener {
	u32 netns;
	u32 port;
};

/*
 * The records, and the table that finds them by their socket's address (table.h). Both are mapped into user space.
 * Inserted: connect, passive ESTABLISHED, first touch (ct_create). Deleted: ct_forget. It is not a hash of the
 * kernel's: a look-up there is four calls, and to insert or delete takes a lock and more of them.
 */
BPF_F_TABLE("array", u32, struct ct_bucket, buckets, CT_SIZED, 1024 /* BPF_F_MMAPABLE */);
BPF_F_TABLE("array", u32, struct ct_record, sockets, CT_SIZED, 1024 /* BPF_F_MMAPABLE */);
/* The few whose buckets are full: the place in `sockets` by the socket's address, and the places that are free. */
BPF_TABLE("hash", u64, u32, crowded, CT_SIZED);
BPF_STACK(spare_places, u32, CT_SIZED);

#ifdef CT_SCOPE_TASKS
/*
 * How many records there are by a few bits of their address, four 16-bit counts to a word: traffic that is out of scope
 * is told from ours by one load. Small enough to stay in the cache, which is worth more than fewer places taken twice:
 * those cost a look into the hash. Written with `sockets`.
 */
#define CT_KNOWN_BITS 13
BPF_ARRAY(known, u64, 1 << (CT_KNOWN_BITS - 2));

/*
 * Whether there ever was a listener with these low bits of its port (first half), or a seed with these of its cookie
 * (second half): most connections of others need no look into those maps. Never cleared; user space writes it, too.
 */
#define CT_HINTS 4096
BPF_ARRAY(hints, u32, 2 * CT_HINTS);
#endif

/* By the number of the bucket. Set: on CLOSE_WAIT, or on CLOSE with a descriptor open. Cleared: when the program lets
 * go. Read by user space: every interval. */
BPF_F_TABLE("array", u32, struct ct_marks, marks, CT_SIZED, 1024 /* BPF_F_MMAPABLE */);

/* The pools of black boxes, mapped into user space, and the handles of their free boxes: last in, first out, so that
 * the used ones lie together. */
BPF_F_TABLE("array", u32, struct ct_box, boxes, CT_SIZED, 1024 /* BPF_F_MMAPABLE */);
BPF_STACK(free_boxes, u32, CT_SIZED);
BPF_F_TABLE("array", u32, struct ct_small_box, small_boxes, CT_SIZED, 1024 /* BPF_F_MMAPABLE */);
BPF_STACK(free_small_boxes, u32, CT_SIZED);
#ifdef CT_DEEP_STACK
BPF_F_TABLE("array", u32, struct ct_deep_box, deep_boxes, CT_SIZED, 1024 /* BPF_F_MMAPABLE */);
BPF_STACK(free_deep_boxes, u32, CT_SIZED);
#endif

/* By CPU (the low byte of its number) and kind of box (CT_STASH_OF). How many boxes each may have is a parameter: all
 * of them together no more than an eighth of the pool. */
#define CT_STASH_OF(cpu, kind) ((cpu)*4 + (kind))
BPF_ARRAY(stashes, struct ct_stash, CT_SIZED);

/* Losses and totals, indexed by enum ct_counter. */
BPF_PERCPU_ARRAY(counters, u64, CT_COUNTERS);

#ifdef CT_SCOPE_TASKS
/* Listening ports of tasks in scope, with how many sockets listen there (SO_REUSEPORT, two addresses): their children
 * belong to them before any accept. Seeded by user space too. */
BPF_TABLE("hash", struct ct_listener, u32, listeners, 4096);
/* Cookies of sockets in scope that are older than the trace, from sock_diag. */
BPF_TABLE("hash", u64, u32, seeds, CT_SIZED);
#endif

#ifdef CT_SCOPE_FORKS
/* Thread groups in scope: seeded with the first, grown at fork, shrunk at exit. */
BPF_TABLE("hash", u32, u32, scope_pids, 16384);
#endif

#ifdef CT_EXECS
/* The last exec of each thread group, and how many there were. Written in the new program (hooks/exec.h). */
struct ct_exec {
	u64 ns;
	u64 count;
};
BPF_TABLE("lru_hash", u32, struct ct_exec, execs, 16384);
#endif

#ifdef CT_COMM_LOW
/* Thread groups whose program has the wanted name, whatever their threads are called. Seeded by user space, which knows
 * scripts, too; grown at exec and fork, shrunk at exec and exit. */
BPF_TABLE("hash", u32, u32, scope_programs, 16384);
#endif

/* Who made a process, by thread group, for the latest forks: a child may have ended long before it matters. */
BPF_TABLE("lru_hash", u32, struct ct_made, parents, 16384);

#ifdef CT_KPROBE_CALLS
/* Calls between kprobe and kretprobe, by thread. */
struct ct_call {
	u64 sk;
	u32 op;
	u32 flags;
};
BPF_TABLE("lru_hash", u64, struct ct_call, calls, 65536);
#endif

#ifdef CT_INTERPRETERS
/* By thread group. Written by user space, copied at fork, deleted at exec (hooks/). */
BPF_TABLE("hash", u32, struct ct_interpreter, interpreters, 4096);
/* The answer to most questions, by a few bits of the thread group's number: that number, and above it what
 * ct_told_of says. */
#define CT_LANGUAGES_KNOWN 4096
BPF_ARRAY(languages, u64, CT_LANGUAGES_KNOWN);
/*
 * What holds for all processes of one user that run one program file. Written by user space. Nothing tells when such a
 * file is gone and its number given to another one. If that has the same size, too, then what is here is wrong for it
 * until user space has looked at its process, some milliseconds after its first touch. But user space gives no name to
 * a word that does not point to a function.
 */
struct ct_program {
	u64 inode;
	u64 size;
	u32 device;
	u32 uid;
};
BPF_TABLE("lru_hash", struct ct_program, struct ct_interpreter, known_programs, 256);
/* Never written: the entry of a thread group that nobody has looked at. */
BPF_ARRAY(unlooked, struct ct_interpreter, 1);
/* Thread groups that user space is to look at: each puts itself here once, at its first touch, which wakes user space,
 * and, where processes join a scope, at its exec. */
BPF_RINGBUF_OUTPUT(asked, CT_SIZED);

/* The box whose frames are to be told by the program that runs next on this CPU, as CT_LEFT has it. */
BPF_PERCPU_ARRAY(handover, u64, 1);

/* The programs of the languages, by number - 1: one such array for each program that calls them, since the kernel wants
 * all programs of an array to be of one type and one attachment (tracer/kernel/program.py). */
#define CT_LANGUAGES 3
BPF_PROG_ARRAY(interpreter_programs, CT_LANGUAGES);
#endif

#ifdef CT_GUARDED
/* Which touches go without a stack, to spare the host: a mask over random numbers. Written by user space. */
BPF_ARRAY(control, u32, 1);
#endif

/* Records that ended after lingering (or all, for `timeline`), with the boxes that they own. */
BPF_RINGBUF_OUTPUT(endings, CT_SIZED);

#ifdef CT_EVENTS
/* Transitions, for `tail`. */
BPF_RINGBUF_OUTPUT(events, CT_SIZED);
#endif

/*
 * The index fills 8 bytes of the BPF stack, though the helper reads 4. Only a store to all 8 tells the verifier that
 * what was there before no longer matters. Otherwise it follows ways apart that differ in nothing but such remains.
 */
static __always_inline void ct_count(u64 index)
{
	u64 *value = counters.lookup(&index);
	if (value)
		__sync_fetch_and_add(value, 1);
}
