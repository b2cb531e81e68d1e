/* verify.c - a folder looked at while nobody has it open: see mr_verify() in millrace.h.
 *
 * Happy path: take the lock, look at the identity, add up what there is to read, then one log after the other
 * (verify_log.c). Nothing is written: the environment is opened read-only, and with it every log. A folder
 * whose identity is lost is taken for what its segments say it is. What can fail: the lock, a folder that is
 * no store, one of a later format, memory. */
#include "verify.h"

#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "store/frame.h"

void verify_tell(struct verifier *v, struct mr_finding *f) {
    must(f->cause != NULL);
    must(f->seq <= f->seq_last || f->found == MR_FOUND_NOTE);
    if (f->found == MR_FOUND_NOTE) v->out->notes++;
    if (f->found == MR_FOUND_DAMAGE) {
        v->out->damaged_places++;
        v->out->damaged_bytes += f->length;
    }
    if (v->cfg->found) v->cfg->found(v->cfg->ctx, f);
}

void verify_progress(struct verifier *v, uint64_t done) {
    if (!v->cfg->progress) return;
    done += v->done;
    v->cfg->progress(v->cfg->ctx, done < v->total ? done : v->total, v->total);
}

/* --- what there is --- */

static void identity_of(struct verifier *v, int fd) {
    struct seg_header h[2];
    size_t got;
    struct mr_env *env = v->env;
    must(env->id_bad[0] && env->id_bad[1]);
    for (int i = 0; i < 2; i++) {
        enum err e = io_file_read(env->io, fd, &h[i], sizeof h[i], (uint64_t)i * SEG_HEADER_COPY, &got);
        if (e || got < sizeof h[i] || !seg_header_ok(&h[i])) continue;
        memcpy(env->uuid, h[i].uuid, sizeof env->uuid);
        return;
    }
}

static void look_at_segment(struct verifier *v, int dir, const char *name) {
    struct mr_env *env = v->env;
    uint64_t size;
    int fd;
    must(dir >= 0);
    if (io_file_open(env->io, dir, name, IO_O_RDONLY, &fd)) return; /* who reads it says so */
    if (!io_file_size(env->io, fd, &size)) v->total += size;
    if (env->id_bad[0] && env->id_bad[1]) identity_of(v, fd);
    io_file_close(env->io, fd);
}

static bool is_segment(const char *name) {
    size_t n = strlen(name);
    return n == 12 && strcmp(name + 8, ".seg") == 0;
}

static enum err survey(struct verifier *v) {
    struct mr_env *env = v->env;
    enum err e = ERR_OK;
    must(v->total == 0);
    for (size_t i = 0; i < env->logs_count && !e; i++) {
        char name[ENV_LOG_NAME];
        struct io_dirent_list l = {0};
        int dir;
        env_log_name(env->logs[i], name);
        if ((e = io_file_open(env->io, env->dir_fd, name, IO_O_DIR, &dir))) return e;
        e = io_dir_list(env->io, dir, &l);
        for (size_t k = 0; k < l.count && !e; k++)
            if (is_segment(l.names[k])) look_at_segment(v, dir, l.names[k]);
        free(l.names);
        io_file_close(env->io, dir);
    }
    return e;
}

/* --- the identity --- */

static void tell_identity(struct verifier *v) {
    const struct mr_env *env = v->env;
    bool all = env->id_bad[0] && env->id_bad[1];
    for (unsigned i = 0; i < 2; i++) {
        if (!env->id_bad[i]) continue;
        struct mr_finding f = {.found = MR_FOUND_DAMAGE,
                               .file = "MILLRACE",
                               .offset = (uint64_t)i * 4096,
                               .length = sizeof(struct store_id),
                               .cause = all ? "both copies of the folder's identity are damaged or gone"
                                            : "one of two copies of the folder's identity"};
        verify_tell(v, &f);
    }
    v->out->refused |= all;
}

/* --- all of it --- */

static enum mr_status look(struct verifier *v) {
    struct mr_env *env = v->env;
    must(env->read_only);
    if (env->id_bad[0] && env->id_bad[1] && env->logs_count == 0) return MR_FOREIGN;
    enum err e = survey(v);
    tell_identity(v);
    for (size_t i = 0; i < env->logs_count && !e; i++) {
        e = verify_log(v, env->logs[i]);
        v->out->logs++;
    }
    if (!e) verify_progress(v, v->total);
    return status_of(e);
}

static enum mr_status verify(const struct mr_verify_config *cfg, struct io *io,
                             struct mr_verify_result *out) {
    struct verifier v = {.cfg = cfg, .out = out};
    const struct mr_env_config ec = {.size = sizeof ec,
                                     .path = cfg->path,
                                     .shards = ENV_LOGS_MAX, /* so that a shard has one log */
                                     .log = cfg->log,
                                     .log_ctx = cfg->ctx,
                                     .index_bytes = cfg->index_bytes};
    must(cfg->path != NULL);
    enum mr_status s = env_open_read_only(&ec, io, &v.env);
    if (v.env) out->holder = v.env->holder;
    if (s == MR_OK) s = look(&v);
    mr_env_close(v.env);
    return s;
}

enum mr_status verify_with(const struct mr_verify_config *cfg, struct io *io,
                           struct mr_verify_result *result) {
    struct mr_verify_config c = {0};
    struct mr_verify_result out = {.size = sizeof out};
    if (!cfg || cfg->size < offsetof(struct mr_verify_config, index_bytes) || !cfg->path) return MR_INVAL;
    if (!result || result->size < sizeof result->size) return MR_INVAL;
    memcpy(&c, cfg, cfg->size < sizeof c ? cfg->size : sizeof c);
    enum mr_status s = verify(&c, io, &out);
    out.size = result->size;
    memcpy(result, &out, out.size < sizeof out ? out.size : sizeof out);
    return s;
}

enum mr_status mr_verify(const struct mr_verify_config *cfg, struct mr_verify_result *result) {
    struct io *io;
    const char *why = NULL;
    enum err e = io_open(&io, &(struct io_config){.backend = IO_POSIX}, &why);
    if (e) return status_of(e);
    enum mr_status s = verify_with(cfg, io, result);
    io_close(io);
    return s;
}
