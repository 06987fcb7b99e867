// SPDX-License-Identifier: GPL-2.0
/* A bad second release: loads and completes, and its code warns when it runs, so that only a check finds it. */
#define LAB_TEXT "v2"
#define LAB_WARNS
#include "uptide_version.h"
LAB_LIVEPATCH("2.0", "Uptide lab: second release, bad", .replace = true);
MODULE_INFO(livepatch, "Y");
