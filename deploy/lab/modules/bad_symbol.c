// SPDX-License-Identifier: GPL-2.0
/* Refused by the kernel: it patches a function that does not exist. */
#include "lab.h"

static int lab_new(struct seq_file *m, void *v)
{
	return 0;
}

static struct klp_func lab_funcs[] = { LAB_FUNC("uptide_no_such_function", lab_new), { } };
static struct klp_object lab_objs[] = { { .funcs = lab_funcs }, { } };
LAB_LIVEPATCH("1.0", "Uptide lab: names a function that does not exist");
MODULE_INFO(livepatch, "Y");
