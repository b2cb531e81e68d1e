/* verify.h - what verify.c (the folder) and verify_log.c (one log of it) share. Private. */
#pragma once
#include "engine.h"

struct verifier {
    const struct mr_verify_config *cfg;
    struct mr_verify_result *out;
    struct mr_env *env;
    uint64_t done, total; /* bytes of segment files */
};

/* Counts it, and tells the caller. */
void verify_tell(struct verifier *v, struct mr_finding *f);
void verify_progress(struct verifier *v, uint64_t done);
/* One log, all of it. ERR_OK, whatever was found; ERR_NOMEM. */
enum err verify_log(struct verifier *v, uint32_t log) MUST_USE;
