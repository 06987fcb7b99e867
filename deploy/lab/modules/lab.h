/* SPDX-License-Identifier: GPL-2.0 */
/* What the lab's livepatches share: the table's ends and the module's frame. */
#ifndef UPTIDE_LAB_H
#define UPTIDE_LAB_H
#include <linux/kernel.h>
#include <linux/livepatch.h>
#include <linux/module.h>
#include <linux/seq_file.h>

#define LAB_FUNC(old, new) { .old_name = old, .new_func = new }

/* One patch of the objects in `lab_objs`; more members of struct klp_patch may follow in the arguments. */
#define LAB_LIVEPATCH(version, text, ...) \
	static struct klp_patch lab_patch = { .mod = THIS_MODULE, .objs = lab_objs, ##__VA_ARGS__ }; \
	static int __init lab_init(void) { return klp_enable_patch(&lab_patch); } \
	static void __exit lab_exit(void) { } \
	module_init(lab_init); \
	module_exit(lab_exit); \
	MODULE_LICENSE("GPL"); \
	MODULE_VERSION(version); \
	MODULE_DESCRIPTION(text)

#endif
