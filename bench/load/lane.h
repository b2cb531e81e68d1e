/* lane.h - what run.c asks of a lane. */
#pragma once
#include "load/run.h"

/* Starts the thread; it ends by itself when all has come back, or the lane failed. */
bool lane_start(struct lane *lane);
/* The lane's epoll reports what arrives on the link. */
bool lane_watch(struct lane *lane, struct link *l);
