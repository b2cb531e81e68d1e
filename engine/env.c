/* env.c - opening a folder, and saying why not.
 *
 * Happy path: make the folder, look that nothing foreign is in it, lock it, read its identity (or write one,
 * into a new file that is renamed once durable), list the logs. What can fail is said in one line through the
 * host's log and as a status: MR_FOREIGN before anything is written into a folder that is not ours,
 * MR_LOCKED, MR_FORMAT, MR_CORRUPT when both copies of the identity are bad, MR_UNSUPPORTED on a network file
 * system, whose locks and syncs promise too little. One bad copy of the identity is mended from the other. */
#include "env.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/must.h"
#include "base/rng.h"
#include "store/format.h"

enum { ID_COPY = 4096, ID_FILE = 8192, PATH_LEN_MAX = 3800 };
static const char ID_NAME[] = "MILLRACE", ID_NEW[] = "MILLRACE.new", LOCK_NAME[] = "lock";

void env_log(const struct mr_env *env, enum mr_log_level level, const char *fmt, ...) {
    if (!env->cfg.log) return;
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    env->cfg.log(env->cfg.log_ctx, level, text);
}

static enum err fail(const struct mr_env *env, enum err e, const char *what) {
    must(e != ERR_OK);
    env_log(env, MR_LOG_ERROR, "%s: %s: %s", env->path, what, err_text(e));
    return e;
}

void env_random(struct io *io, void *out, size_t n) {
    must(n > 0);
    if (io_backend_of(io) != IO_SIM) {
        random_bytes(out, n);
        return;
    }
    struct rng r = {(uint64_t)io_wall(io)}; /* so that a seed replays */
    for (size_t i = 0; i < n; i++) ((uint8_t *)out)[i] = (uint8_t)rng_next(&r);
}

/* --- the folder --- */

/* The folder and the missing ones above it, each made durable in its parent. */
static enum err make_path(struct mr_env *env) {
    char part[PATH_LEN_MAX + 1];
    size_t n = strlen(env->path);
    must(n <= PATH_LEN_MAX);
    for (size_t i = 1; i <= n; i++) {
        if (env->path[i] != '/' && i != n) continue;
        memcpy(part, env->path, i);
        part[i] = 0;
        enum err e = io_dir_make(env->io, AT_FDCWD, part);
        if (e == ERR_EXISTS) continue;
        if (e) return e;
        char *slash = strrchr(part, '/');
        const char *parent = !slash ? "." : slash == part ? "/" : part;
        if (slash && slash != part) *slash = 0;
        int fd;
        if ((e = io_file_open(env->io, AT_FDCWD, parent, IO_O_DIR, &fd))) return e;
        e = io_file_sync(env->io, fd);
        io_file_close(env->io, fd);
        if (e) return e;
    }
    return ERR_OK;
}

static bool log_number(const char *name, uint32_t *log) {
    must(name != NULL);
    if (strncmp(name, "log-", 4) != 0 || strlen(name) != 8) return false;
    if (strspn(name + 4, "0123456789abcdef") != 4) return false;
    *log = (uint32_t)strtoul(name + 4, NULL, 16);
    return *log < ENV_LOGS_MAX;
}

struct found {
    bool id, logs, jetstream;
    char foreign[64]; /* the first name that is not ours */
};

static bool our_name(const char *name) {
    return strcmp(name, LOCK_NAME) == 0 || strcmp(name, ID_NEW) == 0 || strcmp(name, "lost+found") == 0;
}

static enum err look(struct mr_env *env, struct found *f) {
    must(env->dir_fd >= 0);
    struct io_dirent_list l = {0};
    enum err e = io_dir_list(env->io, env->dir_fd, &l);
    if (e) return e;
    *f = (struct found){0};
    for (size_t i = 0; i < l.count; i++) {
        uint32_t log;
        if (strcmp(l.names[i], ID_NAME) == 0) {
            f->id = true;
        } else if (log_number(l.names[i], &log)) {
            f->logs = true;
        } else if (!our_name(l.names[i]) && !f->foreign[0]) {
            memcpy(f->foreign, l.names[i], sizeof f->foreign);
        }
        f->jetstream |= strcmp(l.names[i], "jetstream") == 0;
    }
    free(l.names);
    return ERR_OK;
}

/* A folder without our identity is taken only when there is nothing else in it. */
static enum err refuse_foreign(struct mr_env *env, const struct found *f) {
    must(env->path != NULL);
    if (f->id || (f->logs && env->read_only)) return ERR_OK;
    if (f->logs) { /* a new identity would make strangers of them for good */
        env_log(env, MR_LOG_ERROR,
                "%s holds logs of a Millrace store, but the file %s is gone; put it back from a copy",
                env->path, ID_NAME);
        return ERR_CORRUPT;
    }
    if (!f->foreign[0]) return ERR_OK;
    env_log(env, MR_LOG_ERROR,
            "%s holds \"%s\" and no %s file: not a Millrace store%s; choose an empty folder", env->path,
            f->foreign, ID_NAME, f->jetstream ? " (it looks like nats-server's)" : "");
    return ERR_FOREIGN;
}

static enum err check_fs(struct mr_env *env) {
    must(env->dir_fd >= 0);
    struct io_fs fs;
    enum err e = io_fs_of(env->io, env->dir_fd, &fs);
    if (e) return fail(env, e, "cannot tell the file system");
    if (!fs.network) return ERR_OK;
    env_log(env, MR_LOG_ERROR,
            "%s is on a network file system (%s), which promises too little about locks and syncs; use a "
            "local disk",
            env->path, fs.type);
    return ERR_UNSUPPORTED;
}

static enum err take_lock(struct mr_env *env) {
    must(env->lock_fd < 0);
    unsigned how = env->read_only ? IO_O_RDONLY : IO_O_CREATE;
    enum err e = io_file_open(env->io, env->dir_fd, LOCK_NAME, how, &env->lock_fd);
    if (e) {
        env->lock_fd = -1;
        return e == ERR_NOENT && env->read_only ? ERR_OK : fail(env, e, "cannot open the lock file");
    }
    e = io_file_lock(env->io, env->lock_fd);
    if (!e) return ERR_OK;
    env->holder = e == ERR_LOCKED ? io_file_locked_by(env->lock_fd) : 0;
    if (!env->holder) return fail(env, e, "cannot lock");
    env_log(env, MR_LOG_ERROR, "%s: cannot lock: another process holds the folder: process %u", env->path,
            env->holder);
    return e;
}

/* --- identity --- */

static uint32_t id_crc(const struct store_id *id) { return crc32c(0, id, offsetof(struct store_id, crc)); }

static void id_image(const struct store_id *id, uint8_t image[ID_FILE]) {
    memset(image, 0, ID_FILE);
    memcpy(image, id, sizeof *id);
    memcpy(image + ID_COPY, id, sizeof *id);
}

static enum err id_create(struct mr_env *env) {
    must(env->lock_fd >= 0);
    struct store_id id = {.version = htole32(FORMAT_VERSION),
                          .created_ns = (int64_t)htole64((uint64_t)io_wall(env->io))};
    memcpy(id.magic, STORE_MAGIC, sizeof id.magic);
    env_random(env->io, id.uuid, sizeof id.uuid);
    id.crc = htole32(id_crc(&id));
    memcpy(env->uuid, id.uuid, sizeof env->uuid);
    uint8_t image[ID_FILE];
    id_image(&id, image);
    int fd;
    enum err e = io_file_open(env->io, env->dir_fd, ID_NEW, IO_O_CREATE, &fd);
    if (e) return fail(env, e, "cannot create the identity file");
    e = io_file_write(env->io, fd, image, sizeof image, 0, true);
    io_file_close(env->io, fd);
    if (!e) e = io_file_rename(env->io, env->dir_fd, ID_NEW, ID_NAME);
    if (!e) e = io_file_sync(env->io, env->dir_fd);
    if (e) return fail(env, e, "cannot write the identity file");
    env_log(env, MR_LOG_INFO, "%s: new store", env->path);
    return ERR_OK;
}

static bool id_valid(const struct store_id *id) {
    return memcmp(id->magic, STORE_MAGIC, sizeof id->magic) == 0 && le32toh(id->crc) == id_crc(id);
}

/* The copy that counts, or why none does. */
static enum err id_choose(const struct store_id copy[2], const struct store_id **id) {
    for (int i = 0; i < 2; i++) {
        if (!id_valid(&copy[i])) continue;
        *id = &copy[i];
        return le32toh(copy[i].version) == FORMAT_VERSION ? ERR_OK : ERR_FORMAT;
    }
    bool ours = memcmp(copy[0].magic, STORE_MAGIC, 8) == 0 || memcmp(copy[1].magic, STORE_MAGIC, 8) == 0;
    return ours ? ERR_CORRUPT : ERR_FOREIGN;
}

static enum err id_mend(struct mr_env *env, int fd, const struct store_id *id) {
    must(id_valid(id));
    uint8_t image[ID_FILE];
    id_image(id, image);
    env_log(env, MR_LOG_WARN, "%s/%s: one of its two copies is damaged, mending it from the other", env->path,
            ID_NAME);
    return io_file_write(env->io, fd, image, sizeof image, 0, true);
}

static enum err id_check(struct mr_env *env, int fd) {
    must(env->lock_fd >= 0);
    uint8_t image[ID_FILE] = {0};
    size_t got;
    enum err e = io_file_read(env->io, fd, image, sizeof image, 0, &got);
    if (e) return fail(env, e, "cannot read the identity file");
    struct store_id copy[2];
    memcpy(&copy[0], image, sizeof copy[0]);
    memcpy(&copy[1], image + ID_COPY, sizeof copy[1]);
    const struct store_id *id = NULL;
    e = id_choose(copy, &id);
    if (e == ERR_FORMAT) {
        env_log(env, MR_LOG_ERROR, "%s was written by format version %u, this program reads version %u",
                env->path, le32toh(id->version), (unsigned)FORMAT_VERSION);
        return e;
    }
    if (e) return fail(env, e, "the identity file MILLRACE");
    memcpy(env->uuid, id->uuid, sizeof env->uuid);
    if (id_valid(&copy[0]) && id_valid(&copy[1])) return ERR_OK;
    return id_mend(env, fd, id);
}

static enum err id_open(struct mr_env *env, bool exists) {
    must(env->lock_fd >= 0);
    if (!exists) return id_create(env);
    int fd;
    enum err e = io_file_open(env->io, env->dir_fd, ID_NAME, 0, &fd);
    if (e) return fail(env, e, "cannot open the identity file");
    e = id_check(env, fd);
    io_file_close(env->io, fd);
    return e;
}

/* To be verified: damage is noted, a later format is none. */
static enum err id_look(struct mr_env *env, bool exists) {
    uint8_t image[ID_FILE] = {0};
    size_t got = 0;
    int fd;
    must(env->read_only);
    env->id_bad[0] = env->id_bad[1] = true;
    if (!exists) return ERR_OK;
    enum err e = io_file_open(env->io, env->dir_fd, ID_NAME, IO_O_RDONLY, &fd);
    if (e) return fail(env, e, "cannot open the identity file");
    if (io_file_read(env->io, fd, image, sizeof image, 0, &got)) memset(image, 0, sizeof image);
    io_file_close(env->io, fd);
    for (int i = 2; i-- > 0;) {
        struct store_id id;
        memcpy(&id, image + (size_t)i * ID_COPY, sizeof id);
        if (!id_valid(&id)) continue;
        if (le32toh(id.version) != FORMAT_VERSION) return ERR_FORMAT;
        memcpy(env->uuid, id.uuid, sizeof env->uuid);
        env->id_bad[i] = false;
    }
    return ERR_OK;
}

/* --- logs --- */

void env_log_name(uint32_t log, char out[ENV_LOG_NAME]) {
    must(log < ENV_LOGS_MAX);
    snprintf(out, ENV_LOG_NAME, "log-%04x", log);
}

enum err env_log_make(const struct mr_env *env, struct io *io, uint32_t log) {
    must(log < ENV_LOGS_MAX);
    must(env->dir_fd >= 0);
    char name[ENV_LOG_NAME];
    env_log_name(log, name);
    enum err e = io_dir_make(io, env->dir_fd, name);
    if (e && e != ERR_EXISTS) return e;
    return io_file_sync(io, env->dir_fd); /* also one that was there: a kill may have come before this */
}

static int by_number(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static enum err find_logs(struct mr_env *env) {
    must(env->logs == NULL);
    struct io_dirent_list l = {0};
    enum err e = io_dir_list(env->io, env->dir_fd, &l);
    if (e) return fail(env, e, "cannot list");
    env->logs = calloc(l.count + 1, sizeof *env->logs);
    e = env->logs ? ERR_OK : ERR_NOMEM;
    for (size_t i = 0; !e && i < l.count; i++)
        if (log_number(l.names[i], &env->logs[env->logs_count])) env->logs_count++;
    free(l.names);
    if (!e) qsort(env->logs, env->logs_count, sizeof *env->logs, by_number);
    return e;
}

/* --- opening --- */

static enum err open_folder(struct mr_env *env) {
    must(env->dir_fd < 0 && env->lock_fd < 0);
    enum err e = env->read_only ? ERR_OK : make_path(env);
    if (e) return fail(env, e, "cannot create the folder");
    e = io_file_open(env->io, AT_FDCWD, env->path, IO_O_DIR, &env->dir_fd);
    if (e) {
        env->dir_fd = -1;
        return fail(env, e, e == ERR_NOENT ? "not a folder" : "cannot open the folder");
    }
    struct found f;
    if (!env->read_only && (e = check_fs(env))) return e;
    if ((e = look(env, &f))) return fail(env, e, "cannot list");
    if ((e = refuse_foreign(env, &f))) return e;
    if ((e = take_lock(env))) return e;
    if ((e = look(env, &f)))
        return fail(env, e, "cannot list"); /* again: another process may have made it meanwhile */
    if ((e = refuse_foreign(env, &f))) return e;
    e = env->read_only ? id_look(env, f.id) : id_open(env, f.id);
    return e ? e : find_logs(env);
}

static bool config_valid(const struct mr_env_config *cfg) {
    if (!cfg || cfg->size < offsetof(struct mr_env_config, log_ctx) + sizeof cfg->log_ctx) return false;
    if (cfg->shards < 1 || cfg->shards > ENV_LOGS_MAX) return false;
    if (cfg->path && (!cfg->path[0] || strlen(cfg->path) > PATH_LEN_MAX)) return false;
    return cfg->sync == MR_SYNC_ALWAYS || (cfg->sync == MR_SYNC_INTERVAL && cfg->sync_interval_ns > 0);
}

static enum mr_status open_env(const struct mr_env_config *cfg, struct io *io, bool read_only,
                               struct mr_env **env) {
    must(io != NULL);
    *env = NULL;
    if (!config_valid(cfg)) return MR_INVAL;
    struct mr_env *v = *env = calloc(1, sizeof *v);
    if (!v) return MR_NOMEM;
    v->read_only = read_only;
    memcpy(&v->cfg, cfg, cfg->size < sizeof *cfg ? cfg->size : sizeof *cfg);
    v->io = io;
    v->dir_fd = v->lock_fd = -1;
    enum err e = ERR_OK;
    env_random(io, v->uuid, sizeof v->uuid);
    if (cfg->path) {
        v->path = strdup(cfg->path);
        v->cfg.path = v->path;
        e = v->path ? open_folder(v) : ERR_NOMEM;
    }
    return e == ERR_NOENT && !read_only ? MR_PERM : status_of(e);
}

enum mr_status env_open(const struct mr_env_config *cfg, struct io *io, struct mr_env **env) {
    enum mr_status s = open_env(cfg, io, false, env);
    if (s == MR_OK) return s;
    mr_env_close(*env);
    *env = NULL;
    return s;
}

enum mr_status env_open_read_only(const struct mr_env_config *cfg, struct io *io, struct mr_env **env) {
    must(cfg->path != NULL);
    return open_env(cfg, io, true, env);
}

enum mr_status mr_env_open(const struct mr_env_config *cfg, struct mr_env **env) {
    *env = NULL;
    if (!config_valid(cfg)) return MR_INVAL;
    struct io *io;
    const char *why = NULL;
    enum err e = io_open(&io, &(struct io_config){.backend = IO_POSIX}, &why);
    if (e) return status_of(e);
    enum mr_status s = env_open(cfg, io, env);
    if (s == MR_OK) {
        (*env)->io_owned = true;
    } else {
        io_close(io);
    }
    return s;
}

void mr_env_close(struct mr_env *env) {
    if (!env) return;
    if (env->lock_fd >= 0) io_file_close(env->io, env->lock_fd);
    if (env->dir_fd >= 0) io_file_close(env->io, env->dir_fd);
    if (env->io_owned) io_close(env->io);
    free(env->logs);
    free(env->path);
    free(env);
}
