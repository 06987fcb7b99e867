// SPDX-License-Identifier: GPL-2.0
/* First release. A reader waiting in lab_target makes its transition stall. */
#define LAB_TEXT "v1"
#include "uptide_version.h"
LAB_LIVEPATCH("1.0", "Uptide lab: cumulative patch, first release");
MODULE_INFO(livepatch, "Y");
