/* test_engine_env.c - the folder: made, locked, identified, refused. Real files in a temporary folder. */
#include <fcntl.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "engine_fixture.h"
#include "env.h"
#include "folder_version.h"
#include "lib/check.h"
#include "store/format.h"

static struct mr_env_config config(const char *path) {
    return (struct mr_env_config){
        .size = sizeof(struct mr_env_config), .path = path, .shards = 1, .log = note_log};
}

static enum mr_status open_close(const char *path, uint8_t uuid[16]) {
    struct mr_env_config cfg = config(path);
    struct mr_env *env = NULL;
    enum mr_status s = mr_env_open(&cfg, &env);
    CHECK_EQ(env != NULL, s == MR_OK);
    if (s == MR_OK && uuid) memcpy(uuid, env->uuid, 16);
    mr_env_close(env);
    return s;
}

static void created_and_found_again(void) {
    char dir[256];
    temp_dir(dir);
    strcat(dir, "/a/b/c"); /* parents too */
    uint8_t one[16], two[16];
    CHECK_EQ(open_close(dir, one), MR_OK);
    CHECK_EQ(open_close(dir, two), MR_OK);
    CHECK_MEM(one, 16, two, 16);
    struct stat st;
    strcat(dir, "/MILLRACE");
    CHECK_EQ(stat(dir, &st), 0);
    CHECK_EQ(st.st_size, 8192);
}

static void trailing_slash_and_existing_empty(void) {
    char dir[256];
    temp_dir(dir);
    strcat(dir, "/");
    CHECK_EQ(open_close(dir, NULL), MR_OK);
}

static void locked_by_another(void) {
    char dir[256];
    temp_dir(dir);
    struct mr_env_config cfg = config(dir);
    struct mr_env *env, *other;
    CHECK_EQ(mr_env_open(&cfg, &env), MR_OK);
    CHECK_EQ(mr_env_open(&cfg, &other), MR_LOCKED);
    CHECK(other == NULL);
    CHECK(strstr(last_log, dir) != NULL);
    mr_env_close(env);
    CHECK_EQ(open_close(dir, NULL), MR_OK);
}

static void foreign_folder_is_left_alone(void) {
    char dir[256], name[300];
    temp_dir(dir);
    snprintf(name, sizeof name, "%s/letter.txt", dir);
    write_file(name, "dear", 4);
    CHECK_EQ(open_close(dir, NULL), MR_FOREIGN);
    CHECK(strstr(last_log, "letter.txt") != NULL);
    snprintf(name, sizeof name, "%s/lock", dir);
    CHECK(access(name, F_OK) != 0); /* nothing was written */
}

static void logs_without_identity_are_left_alone(void) {
    char dir[256], name[300];
    temp_dir(dir);
    snprintf(name, sizeof name, "%s/log-0000", dir);
    CHECK_EQ(mkdir(name, 0700), 0);
    CHECK_EQ(open_close(dir, NULL), MR_CORRUPT);
    CHECK(strstr(last_log, "MILLRACE is gone") != NULL);
    snprintf(name, sizeof name, "%s/MILLRACE", dir);
    CHECK(access(name, F_OK) != 0);
}

static void nats_folder_is_named(void) {
    char dir[256], name[300];
    temp_dir(dir);
    snprintf(name, sizeof name, "%s/jetstream", dir);
    CHECK_EQ(mkdir(name, 0700), 0);
    CHECK_EQ(open_close(dir, NULL), MR_FOREIGN);
    CHECK(strstr(last_log, "nats-server") != NULL);
}

static void other_format_version(void) {
    char dir[256];
    temp_dir(dir);
    CHECK_EQ(open_close(dir, NULL), MR_OK);
    write_version(dir, 77);
    CHECK_EQ(open_close(dir, NULL), MR_FORMAT);
    CHECK(strstr(last_log, "77") != NULL);
}

static void damaged_identity(void) {
    char dir[256], name[300];
    temp_dir(dir);
    uint8_t one[16], two[16], image[8192];
    CHECK_EQ(open_close(dir, one), MR_OK);
    snprintf(name, sizeof name, "%s/MILLRACE", dir);
    read_file(name, image, sizeof image);
    image[20] ^= 1;
    write_file(name, image, sizeof image);
    CHECK_EQ(open_close(dir, two), MR_OK); /* from the second copy */
    CHECK_MEM(one, 16, two, 16);
    read_file(name, image, sizeof image); /* and it was mended */
    CHECK_MEM(image, 64, image + 4096, 64);
    image[20] ^= 1;
    image[4096 + 20] ^= 1;
    write_file(name, image, sizeof image);
    CHECK_EQ(open_close(dir, NULL), MR_CORRUPT);
    memset(image, 'x', sizeof image);
    write_file(name, image, sizeof image);
    CHECK_EQ(open_close(dir, NULL), MR_FOREIGN);
}

static void crash_while_creating(void) {
    char dir[256], name[300];
    temp_dir(dir);
    snprintf(name, sizeof name, "%s/lock", dir);
    write_file(name, "", 0);
    snprintf(name, sizeof name, "%s/MILLRACE.new", dir);
    write_file(name, "MILL", 4);
    CHECK_EQ(open_close(dir, NULL), MR_OK);
}

static void logs_are_listed(void) {
    char dir[256], name[300];
    temp_dir(dir);
    CHECK_EQ(open_close(dir, NULL), MR_OK);
    static const char *const names[] = {"log-000a", "log-0002", "log-0000", "log-1", "log-00zz", "other"};
    for (size_t i = 0; i < 6; i++) {
        snprintf(name, sizeof name, "%s/%s", dir, names[i]);
        CHECK_EQ(mkdir(name, 0700), 0);
    }
    struct mr_env_config cfg = config(dir);
    struct mr_env *env;
    CHECK_EQ(mr_env_open(&cfg, &env), MR_OK);
    CHECK_EQ(env->logs_count, 3);
    CHECK_EQ(env->logs[0], 0);
    CHECK_EQ(env->logs[1], 2);
    CHECK_EQ(env->logs[2], 10);
    mr_env_close(env);
}

static void invalid_configuration(void) {
    struct mr_env *env;
    struct mr_env_config cfg = config("");
    CHECK_EQ(mr_env_open(&cfg, &env), MR_INVAL);
    cfg = config(NULL);
    cfg.shards = 0;
    CHECK_EQ(mr_env_open(&cfg, &env), MR_INVAL);
    cfg = config(NULL);
    cfg.size = 8;
    CHECK_EQ(mr_env_open(&cfg, &env), MR_INVAL);
    cfg = config(NULL);
    cfg.sync = MR_SYNC_INTERVAL; /* without an interval */
    CHECK_EQ(mr_env_open(&cfg, &env), MR_INVAL);
    CHECK(env == NULL);
    cfg = config(NULL);
    CHECK_EQ(mr_env_open(&cfg, &env), MR_OK); /* memory streams only */
    mr_env_close(env);
}

static void cannot_create(void) {
    CHECK_EQ(open_close("/proc/nowhere/x", NULL), MR_PERM);
    CHECK(strstr(last_log, "/proc/nowhere/x") != NULL);
}

static void every_status_has_a_text(void) {
    for (int i = 0; i < MR_STATUS_COUNT; i++) CHECK(mr_status_text(i) && *mr_status_text(i));
    CHECK_STR(mr_status_text(MR_LOCKED), "another process has the folder open");
    CHECK_STR(mr_status_text(9999), "unknown");
    for (int i = 0; i < ERR_COUNT; i++) CHECK_EQ(status_of(i) == MR_OK, i == ERR_OK);
    CHECK_EQ(status_of(ERR_FULL), MR_BUSY);
    CHECK_EQ(status_of(ERR_CLOSED), MR_IO);
}

CHECK_MAIN(CASE(created_and_found_again), CASE(trailing_slash_and_existing_empty), CASE(locked_by_another),
           CASE(foreign_folder_is_left_alone), CASE(logs_without_identity_are_left_alone),
           CASE(nats_folder_is_named), CASE(other_format_version),
           CASE(damaged_identity), CASE(crash_while_creating), CASE(logs_are_listed),
           CASE(invalid_configuration), CASE(cannot_create), CASE(every_status_has_a_text))
