/* bystanders.h - connections that take no part in a run but stand about while it is measured: idle ones, that
 * must still be answered at the end, and subscribers that never read, which a server may cut off. */
#pragma once
#include "load/run.h"

/* False with run->why. */
bool bystanders_open(struct run *r);
/* Every idle connection still answers. */
bool bystanders_check(struct run *r);
void bystanders_close(struct run *r);
