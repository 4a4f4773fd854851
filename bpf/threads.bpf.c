/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where another thread is now: its user registers, read without stopping it. Attached to nothing and no part of the
 * recorder: user space opens /proc/PID/task/TID and runs this with the descriptor through BPF_PROG_TEST_RUN (raw
 * tracepoints, kernel 5.10, commit 1b4d60ec162f). tracer/kernel/tasks.py reads the answer.
 */
#if !defined(CT_HAVE_TASK_STRUCT_FILES) || !defined(CT_HAVE_FILES_STRUCT_FDT) || !defined(CT_HAVE_FDTABLE_FD) ||       \
	!defined(CT_HAVE_PROC_INODE_PID) || !defined(CT_HAVE_PROC_INODE_VFS_INODE) || !defined(CT_HAVE_PID_TASKS) ||   \
	!defined(CT_HAVE_TASK_STRUCT_PID_LINKS) || !defined(CT_HAVE_TASK_STRUCT_NVCSW) ||                              \
	!defined(CT_HAVE_TASK_STRUCT_NIVCSW)
#error "this kernel's types do not lead from a descriptor of /proc to a thread"
#endif

/* By names of our own, as in record.h. */
static long (*ct_read_kernel)(void *to, u32 size, const void *from) = (void *)BPF_FUNC_probe_read_kernel;

/* x86-64, kernel built without KASAN; used only where bpf_task_pt_regs (5.15) is missing. User space sees by its own
 * registers whether it is right. */
#define CT_THREAD_SIZE 16384
#define CT_PF_IO_WORKER 0x00000010
#define CT_PF_KTHREAD 0x00200000

/* A field may be smaller than the place it is read into: on_cpu has one byte in some kernels. */
#define CT_READ(to, place)                                                                                             \
	({                                                                                                             \
		__builtin_memset(&to, 0, sizeof(to));                                                                  \
		ct_read_kernel(&to, sizeof(place) < sizeof(to) ? sizeof(place) : sizeof(to), &place);                  \
	})

struct ct_thread {
	struct pt_regs registers;
	u64 thread_pointer;
	u64 stack_start; /* of the process's first thread */
	u64 switches;	 /* how often it gave up the CPU: twice the same and off the CPU means that it did not run */
	u64 switches_after;
	u64 now_ns;	   /* CLOCK_MONOTONIC */
	u64 here_ns;	   /* now by the scheduler's clock; as old as this CPU's last look at it */
	u64 ran_ns;	   /* when the thread last ran, by the clock that leaves interrupts and stolen time out */
	u64 clock_ns;	   /* the scheduler's clock on that thread's CPU, */
	u64 clock_task_ns; /* and at the same time the clock that leaves them out */
	u32 pid;
	u32 tid;
	u32 on_cpu;
	u32 state;  /* 0: runs, or would if it had a CPU (TASK_RUNNING) */
	u32 kernel; /* a worker of the kernel inside the process (io_uring): it has no user registers */
	u32 is_64_bit;
	u8 comm[16];
};
BPF_ARRAY(thread, struct ct_thread, 1);

/* A pointer as a plain number: the verifier allows no arithmetic on those that it knows the type of. */
static __always_inline u64 ct_number(const void *pointer)
{
	u64 number = 0;

	ct_read_kernel(&number, sizeof(number), &pointer);
	return number;
}

/* From task->stack to the user registers: the same for all threads. */
static __always_inline u64 ct_registers_place(void)
{
#ifdef CT_HAVE_TASK_PT_REGS
	struct task_struct *task = (struct task_struct *)bpf_get_current_task_btf();

	return ct_number((void *)bpf_task_pt_regs(task)) - ct_number(task->stack);
#else
	return CT_THREAD_SIZE - sizeof(struct pt_regs);
#endif
}

/* The thread behind a descriptor of the current process; 0 if it has ended. */
static __always_inline struct task_struct *ct_task_of(u32 fd)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct files_struct *files = 0;
	struct fdtable *table = 0;
	struct file **all = 0, *file = 0;
	struct inode *inode = 0;
	struct pid *pid = 0;
	u64 link = 0;

	CT_READ(files, task->files);
	CT_READ(table, files->fdt);
	CT_READ(all, table->fd);
	CT_READ(file, all[fd]);
	CT_READ(inode, file->f_inode);
	struct proc_inode *of_proc = (void *)inode - __builtin_offsetof(struct proc_inode, vfs_inode);

	CT_READ(pid, of_proc->pid);
	CT_READ(link, pid->tasks); /* the first of PIDTYPE_PID, which is 0 */
	return link ? (void *)link - __builtin_offsetof(struct task_struct, pid_links) : 0;
}

static __always_inline u64 ct_switches(struct task_struct *task)
{
	u64 voluntary = 0, other = 0;

	CT_READ(voluntary, task->nvcsw);
	CT_READ(other, task->nivcsw);
	return voluntary + other;
}

#if defined(CT_HAVE_TASK_STRUCT_SE) && defined(CT_HAVE_SCHED_ENTITY_EXEC_START) &&                                     \
	defined(CT_HAVE_SCHED_ENTITY_CFS_RQ) && defined(CT_HAVE_CFS_RQ_RQ) && defined(CT_HAVE_RQ_CLOCK) &&             \
	defined(CT_HAVE_RQ_CLOCK_TASK)
static __always_inline struct rq *ct_queue(struct task_struct *task)
{
	struct cfs_rq *fair = 0;
	struct rq *queue = 0;

	CT_READ(fair, task->se.cfs_rq);
	CT_READ(queue, fair->rq);
	return queue;
}

static __always_inline void ct_when_it_ran(struct ct_thread *to, struct task_struct *task)
{
	struct rq *queue = ct_queue(task), *here = ct_queue((struct task_struct *)bpf_get_current_task());

	CT_READ(to->ran_ns, task->se.exec_start);
	CT_READ(to->clock_task_ns, queue->clock_task);
	CT_READ(to->clock_ns, queue->clock);
	CT_READ(to->here_ns, here->clock);
	to->now_ns = bpf_ktime_get_ns();
}
#else
static __always_inline void ct_when_it_ran(struct ct_thread *to, struct task_struct *task) { to->ran_ns = 0; }
#endif

static __always_inline void ct_identify_thread(struct ct_thread *to, struct task_struct *task)
{
	struct mm_struct *mm = 0;
	u32 flags = 0;

	CT_READ(to->pid, task->tgid);
	CT_READ(to->tid, task->pid);
	CT_READ(to->comm, task->comm);
	CT_READ(flags, task->flags);
	to->kernel = !!(flags & (CT_PF_IO_WORKER | CT_PF_KTHREAD));
	CT_READ(to->thread_pointer, task->CT_TASK_THREAD_POINTER);
	CT_READ(mm, task->mm);
	CT_READ(to->stack_start, mm->start_stack);
}

/*
 * The switches before all else and again after it: a thread that is off the CPU, with the same number at both ends, did
 * not run while it was read.
 */
int run_thread(struct bpf_raw_tracepoint_args *ctx)
{
	u32 zero = 0;
	struct ct_thread *to = thread.lookup(&zero);
	struct task_struct *task = ct_task_of(ctx->args[0]);
	void *stack = 0;

	if (!to || !task)
		return 0;
	to->switches = ct_switches(task);
	to->on_cpu = 0; /* a kernel for one CPU has no such field: the thread that runs there is this one */
#ifdef CT_HAVE_TASK_STRUCT_ON_CPU
	CT_READ(to->on_cpu, task->on_cpu);
#endif
#ifdef CT_HAVE_TASK_STRUCT___STATE
	CT_READ(to->state, task->__state);
#else
	ct_read_kernel(&to->state, sizeof(to->state), &task->state); /* a long before 5.14 */
#endif
	ct_identify_thread(to, task);
	ct_when_it_ran(to, task);
	CT_READ(stack, task->stack);
	if (ct_read_kernel(&to->registers, sizeof(to->registers), stack + ct_registers_place()))
		return 0;
	to->is_64_bit = CT_IS_64_BIT(to->registers.cs);
	to->switches_after = ct_switches(task);
	return 1;
}
