/* SPDX-License-Identifier: GPL-2.0 */
/* The cumulative pair: both releases patch the same two functions of the kernel and one of lab_target. */
#include "lab.h"
#include <linux/utsname.h>

static int lab_version_show(struct seq_file *m, void *v)
{
#ifdef LAB_WARNS
	WARN_ONCE(1, "uptide lab: this release is bad\n");
#endif
	seq_printf(m, "%s version %s (uptide " LAB_TEXT ") %s\n", utsname()->sysname, utsname()->release, utsname()->version);
	return 0;
}

static int lab_execdomains_show(struct seq_file *m, void *v)
{
	seq_puts(m, "0-0\tLinux           \t[kernel, uptide " LAB_TEXT "]\n");
	return 0;
}

static int lab_target_wait(struct seq_file *m)
{
	seq_puts(m, "lab_target uptide " LAB_TEXT "\n");
	return 0;
}

static struct klp_func lab_kernel_funcs[] = {
	LAB_FUNC("version_proc_show", lab_version_show),
	LAB_FUNC("execdomains_proc_show", lab_execdomains_show),
	{ }
};
static struct klp_func lab_target_funcs[] = { LAB_FUNC("lab_wait", lab_target_wait), { } };
static struct klp_object lab_objs[] = {
	{ .funcs = lab_kernel_funcs },
	{ .name = "lab_target", .funcs = lab_target_funcs },
	{ }
};
