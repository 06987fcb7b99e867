// SPDX-License-Identifier: GPL-2.0
/* Stalls on enabling, as long as a reader waits in lab_target's lab_wait(). */
#include "lab.h"

static int lab_target_wait(struct seq_file *m)
{
	seq_puts(m, "lab_target uptide stall\n");
	return 0;
}

static struct klp_func lab_funcs[] = { LAB_FUNC("lab_wait", lab_target_wait), { } };
static struct klp_object lab_objs[] = { { .name = "lab_target", .funcs = lab_funcs }, { } };
LAB_LIVEPATCH("1.0", "Uptide lab: stalls on enabling while a reader waits");
MODULE_INFO(livepatch, "Y");
