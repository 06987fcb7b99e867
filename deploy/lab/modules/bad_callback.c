// SPDX-License-Identifier: GPL-2.0
/* Refused by itself: its callback before patching says that there is no such device. */
#include "lab.h"

static int lab_new(struct seq_file *m, void *v)
{
	return 0;
}

static int lab_pre_patch(struct klp_object *obj)
{
	return -ENODEV;
}

static struct klp_func lab_funcs[] = { LAB_FUNC("version_proc_show", lab_new), { } };
static struct klp_object lab_objs[] = { { .funcs = lab_funcs, .callbacks = { .pre_patch = lab_pre_patch } }, { } };
LAB_LIVEPATCH("1.0", "Uptide lab: its callback refuses");
MODULE_INFO(livepatch, "Y");
