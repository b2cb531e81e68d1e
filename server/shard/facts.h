/* facts.h - what the start-up lines say of machine, folder and store; gathered once, before clients come. */
#pragma once
#include "shard/banner.h"

struct server;

void facts_gather(struct server *sv, struct startup_facts *f);
