// SPDX-License-Identifier: GPL-2.0
/*
 * Stalls on disabling: readers of /proc/execdomains wait in the new function while its parameter `hold` is 1
 * (killable) or 2 (interruptible). Nothing of the system reads that file.
 */
#include "lab.h"
#include <linux/sched/signal.h>

static int hold = 1;
module_param(hold, int, 0644);
MODULE_PARM_DESC(hold, "0 readers pass, 1 they wait until killed, 2 they wait until signalled");

/* A sleeper looks at `hold` this often, so that writing 0 releases it. */
#define LOOK_AGAIN (HZ / 4)

static int lab_execdomains_show(struct seq_file *m, void *v)
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
	seq_puts(m, "0-0\tLinux           \t[kernel, uptide hold]\n");
	return 0;
}

static struct klp_func lab_funcs[] = { LAB_FUNC("execdomains_proc_show", lab_execdomains_show), { } };
static struct klp_object lab_objs[] = { { .funcs = lab_funcs }, { } };
LAB_LIVEPATCH("1.0", "Uptide lab: stalls on disabling while a reader waits");
MODULE_INFO(livepatch, "Y");
