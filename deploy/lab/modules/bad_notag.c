// SPDX-License-Identifier: GPL-2.0
/* Refused by the kernel: it calls klp_enable_patch() without being marked as a livepatch. */
#include "lab.h"

static int lab_new(struct seq_file *m, void *v)
{
	return 0;
}

static struct klp_func lab_funcs[] = { LAB_FUNC("version_proc_show", lab_new), { } };
static struct klp_object lab_objs[] = { { .funcs = lab_funcs }, { } };
LAB_LIVEPATCH("1.0", "Uptide lab: not marked as a livepatch");
