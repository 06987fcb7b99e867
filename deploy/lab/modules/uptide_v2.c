// SPDX-License-Identifier: GPL-2.0
/* Second release: replaces every older livepatch in one transition. */
#define LAB_TEXT "v2"
#include "uptide_version.h"
LAB_LIVEPATCH("2.0", "Uptide lab: cumulative patch, second release", .replace = true);
MODULE_INFO(livepatch, "Y");
