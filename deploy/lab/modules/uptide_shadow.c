// SPDX-License-Identifier: GPL-2.0
/* Carries state that a revert has to undo: a shadow variable (a counter of reads) and callbacks. */
#include "lab.h"
#include <linux/utsname.h>

#define LAB_SHADOW_ID 0x75707469 /* "upti" */

static int lab_version_show(struct seq_file *m, void *v)
{
	unsigned long *reads = klp_shadow_get_or_alloc(&init_uts_ns, LAB_SHADOW_ID, sizeof(*reads), GFP_KERNEL, NULL, NULL);

	seq_printf(m, "%s version %s (uptide shadow, read %lu times) %s\n", utsname()->sysname, utsname()->release,
		   reads ? ++*reads : 0, utsname()->version);
	return 0;
}

static int lab_pre_patch(struct klp_object *obj)
{
	pr_info("uptide_shadow: before patching\n");
	return 0;
}

static void lab_post_unpatch(struct klp_object *obj)
{
	klp_shadow_free_all(LAB_SHADOW_ID, NULL);
	pr_info("uptide_shadow: after unpatching\n");
}

static struct klp_func lab_funcs[] = { LAB_FUNC("version_proc_show", lab_version_show), { } };
static struct klp_object lab_objs[] = {
	{ .funcs = lab_funcs, .callbacks = { .pre_patch = lab_pre_patch, .post_unpatch = lab_post_unpatch } },
	{ }
};
LAB_LIVEPATCH("1.0", "Uptide lab: with a shadow variable and callbacks");
MODULE_INFO(livepatch, "Y");
