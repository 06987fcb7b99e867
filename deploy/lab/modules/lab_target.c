// SPDX-License-Identifier: GPL-2.0
/*
 * Not a livepatch: what livepatches are tried on. Readers of /proc/lab_target wait in lab_wait() while `hold` says so:
 * 1 killable (nothing but their end, hold=0, reversing or force lets a transition past them), 2 interruptible (the
 * kernel's own signal after 15 s does).
 */
#include <linux/module.h>
#include <linux/proc_fs.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>

static int hold;
module_param(hold, int, 0644);
MODULE_PARM_DESC(hold, "0 readers pass, 1 they wait until killed, 2 they wait until signalled");

/* A sleeper looks at `hold` this often, so that writing 0 releases it. */
#define LOOK_AGAIN (HZ / 4)

/* noipa: the function keeps its name, its fentry and its place on the stack, whatever the compiler thinks of it. */
static int __attribute__((noipa)) lab_wait(struct seq_file *m)
{
	while (READ_ONCE(hold) == 1) {
		if (fatal_signal_pending(current))
			return -EINTR;
		schedule_timeout_killable(LOOK_AGAIN);
	}
	while (READ_ONCE(hold) == 2) {
		if (signal_pending(current))
			return -ERESTARTSYS;
		schedule_timeout_interruptible(LOOK_AGAIN);
	}
	seq_puts(m, "lab_target original\n");
	return 0;
}

static int lab_show(struct seq_file *m, void *v)
{
	int result = lab_wait(m);

	barrier(); /* no tail call: lab_wait must return to here */
	return result;
}

static int __init lab_target_init(void)
{
	return proc_create_single("lab_target", 0444, NULL, lab_show) ? 0 : -ENOMEM;
}

static void __exit lab_target_exit(void)
{
	remove_proc_entry("lab_target", NULL);
}

module_init(lab_target_init);
module_exit(lab_target_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Uptide lab: a function to wait in");
