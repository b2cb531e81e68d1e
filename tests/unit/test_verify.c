/* test_verify.c - folders looked at without opening them: what is whole is found whole, each kind of damage
 * is named where it is and by what it costs, and nothing is ever changed. Small segments, real files. */
#include "engine_folder.h"

#include <dirent.h>
#include <sys/wait.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "folder_version.h"
#include "store/frame.h"

enum { FOUND_MAX = 256 };

static struct seen_finding {
    struct mr_finding f;
    char file[64], stream[64], record[64], cause[128];
} seen[FOUND_MAX];
static size_t seen_count;
static struct mr_verify_result result;
static uint64_t progress_done, progress_total;

static void on_found(void *ctx, const struct mr_finding *f) {
    (void)ctx;
    CHECK(seen_count < FOUND_MAX);
    struct seen_finding *s = &seen[seen_count++];
    s->f = *f;
    snprintf(s->file, sizeof s->file, "%s", f->file ? f->file : "");
    snprintf(s->stream, sizeof s->stream, "%.*s", (int)f->stream.n,
             f->stream.n ? (const char *)f->stream.p : "");
    snprintf(s->record, sizeof s->record, "%s", f->record ? f->record : "");
    snprintf(s->cause, sizeof s->cause, "%s", f->cause);
    if (getenv("SHOW_LOG"))
        fprintf(stderr, "found %d: %s at %llu, %llu bytes, %s \"%s\" %llu..%llu lost %d: %s\n", f->found,
                s->file, (unsigned long long)f->offset, (unsigned long long)f->length, s->record, s->stream,
                (unsigned long long)f->seq, (unsigned long long)f->seq_last, f->lost, f->cause);
}

static void on_progress(void *ctx, uint64_t done, uint64_t total) {
    (void)ctx;
    CHECK(done >= progress_done && done <= total);
    progress_done = done;
    progress_total = total;
}

/* --- the folder, byte for byte --- */

static uint64_t hash_tree(const char *path) {
    uint64_t h = 0;
    DIR *d = opendir(path);
    CHECK(d != NULL);
    for (struct dirent *e; (e = readdir(d));) {
        char name[600];
        struct stat st;
        uint64_t own = 0;
        if (e->d_name[0] == '.') continue;
        snprintf(name, sizeof name, "%s/%s", path, e->d_name);
        CHECK_EQ(lstat(name, &st), 0);
        for (const char *p = e->d_name; *p; p++) own = mix64(own ^ (uint8_t)*p);
        own = mix64(own ^ (uint64_t)st.st_size);
        if (S_ISDIR(st.st_mode)) {
            own ^= hash_tree(name);
        } else {
            own ^= mix64((uint64_t)st.st_mtim.tv_nsec ^ (uint64_t)st.st_mtim.tv_sec);
            uint8_t *p = malloc((size_t)st.st_size + 1);
            read_file(name, p, (size_t)st.st_size);
            own ^= crc32c(0, p, (size_t)st.st_size);
            free(p);
        }
        h += mix64(own);
    }
    closedir(d);
    return h;
}

static enum mr_status verify(void) {
    const struct mr_verify_config cfg = {
        .size = sizeof cfg, .path = w.dir, .found = on_found, .progress = on_progress, .log = note_log};
    uint64_t before = hash_tree(w.dir);
    seen_count = 0;
    progress_done = progress_total = 0;
    result = (struct mr_verify_result){.size = sizeof result};
    enum mr_status s = mr_verify(&cfg, &result);
    CHECK(hash_tree(w.dir) == before); /* nothing changed, made or deleted */
    return s;
}

static const struct seen_finding *found(const char *cause) {
    for (size_t i = 0; i < seen_count; i++)
        if (strstr(seen[i].cause, cause)) return &seen[i];
    fprintf(stderr, "nothing found says \"%s\"\n", cause);
    exit(1);
}

/* --- damage --- */

/* Stream S: messages "message <n>", n from 1 to 20, the fifth deleted; a consumer; stream T with one message.
 */
static void make(bool with_checkpoint) {
    char text[32];
    world_small();
    struct mr_stream *s = stream_new("S");
    struct mr_consumer *c = consumer_new(s, "C");
    for (int i = 1; i <= 20; i++) {
        snprintf(text, sizeof text, "message <%d>", i);
        store(s, i % 2 ? "odd" : "even", text);
    }
    CHECK_EQ(mr_delete(s, 5, false), MR_OK);
    struct mr_delivery d;
    CHECK_EQ(mr_consumer_next(c, io_wall(w.io), 0, 0, &d), MR_OK);
    const struct mr_ack a = {.kind = MR_ACK, .seq = 1, .consumer_seq = 1, .want_done = true};
    size_t n = w.done_count;
    CHECK_EQ(mr_consumer_ack(c, &a, io_wall(w.io)), MR_OK);
    until_done(n + 1);
    store(stream_new("T"), "t", "the only one");
    settle();
    if (with_checkpoint) checkpoint();
    world_close();
}

static void check_clean(void) {
    CHECK_EQ(verify(), MR_OK);
    CHECK_EQ(seen_count, 0);
    CHECK(!result.refused);
    CHECK_EQ(result.damaged_places, 0);
    CHECK_EQ(result.lost_messages, 0);
    CHECK_EQ(result.notes, 0);
}

/* --- cases --- */

static void whole(void) {
    for (int i = 0; i < 2; i++) {
        make(i);
        check_clean();
        CHECK_EQ(result.logs, 1);
        CHECK_EQ(result.segments, 1);
        CHECK_EQ(result.streams, 2);
        CHECK_EQ(result.consumers, 1);
        CHECK_EQ(result.messages, 20);
        CHECK(result.records > 25);
        CHECK(progress_total > 0);
        CHECK_EQ(progress_done, progress_total);
        check_clean(); /* and again */
        world_open(1); /* and it opens as ever */
        world_close();
    }
}

static void bit_in_a_payload(void) {
    for (int i = 0; i < 2; i++) {
        make(i);
        uint64_t at = place_of("message <7>", false);
        flip(first_segment, at, 0x20);
        CHECK_EQ(verify(), MR_OK);
        CHECK_EQ(seen_count, 1);
        const struct seen_finding *s = found("body does not verify");
        CHECK_EQ(s->f.found, MR_FOUND_DAMAGE);
        CHECK_STR(s->file, first_segment);
        CHECK_STR(s->stream, "S");
        CHECK_STR(s->record, "message");
        CHECK_EQ(s->f.seq, 7);
        CHECK(s->f.lost);
        CHECK(s->f.offset <= at && at < s->f.offset + s->f.length);
        CHECK_EQ(result.damaged_places, 1);
        CHECK_EQ(result.lost_messages, 1);
        CHECK_EQ(result.messages, 19);
    }
}

/* The place has no name then; the sequence is found to be missing. */
static void bit_in_a_header(void) {
    for (int i = 0; i < 2; i++) {
        make(i);
        flip(first_segment, place_of("message <7>", false) - 3 - 20, 0x20); /* behind the subject "odd" */
        CHECK_EQ(verify(), MR_OK);
        CHECK_EQ(seen_count, 2);
        CHECK(!found("headers do not verify")->f.lost);
        const struct seen_finding *s = found(i ? "the record does not verify" : "no record of it");
        CHECK_EQ(s->f.found, MR_FOUND_LOST);
        CHECK_STR(s->stream, "S");
        CHECK_EQ(s->f.seq, 7);
        CHECK_EQ(s->f.seq_last, 7);
        CHECK_EQ(result.lost_messages, 1);
    }
}

static void bit_in_what_was_deleted(void) {
    make(true);
    flip(first_segment, place_of("message <5>", false), 0x20);
    CHECK_EQ(verify(), MR_OK);
    CHECK_EQ(seen_count, 1);
    CHECK_EQ(seen[0].f.seq, 5);
    CHECK(!seen[0].f.lost);
    CHECK_EQ(result.damaged_places, 1);
    CHECK_EQ(result.lost_messages, 0);
    CHECK_EQ(result.messages, 20);
}

static void bit_in_a_segment_header(void) {
    make(false);
    flip(first_segment, 40, 0x20);
    CHECK_EQ(verify(), MR_OK);
    CHECK_EQ(seen_count, 1);
    CHECK_EQ(found("one of two copies of a segment's header")->f.offset, 0);
    CHECK_EQ(result.lost_messages, 0);
    flip(first_segment, 40, 0x20);
    flip(first_segment, SEG_HEADER_COPY + 40, 0x20);
    CHECK_EQ(verify(), MR_OK);
    CHECK_EQ(found("one of two copies of a segment's header")->f.offset, SEG_HEADER_COPY);
    flip(first_segment, 40, 0x20); /* both: it is not set aside, either */
    CHECK_EQ(verify(), MR_OK);
    CHECK_STR(found("would be set aside")->file, first_segment);
    world_open(1); /* the server does */
    world_close();
    CHECK_EQ(verify(), MR_OK);
    CHECK_STR(found("set aside earlier")->file, "log-0000/00000000.bad");
}

static void identity(void) {
    make(true);
    flip("MILLRACE", 20, 0x20);
    CHECK_EQ(verify(), MR_OK);
    CHECK_EQ(seen_count, 1);
    CHECK_EQ(found("one of two copies of the folder's identity")->f.offset, 0);
    CHECK(!result.refused);
    flip("MILLRACE", 4096 + 20, 0x20);
    CHECK_EQ(verify(), MR_OK); /* the server would not open it; here everything is read */
    CHECK_EQ(result.damaged_places, 2);
    CHECK(result.refused);
    CHECK_EQ(result.messages, 20);
    char path[400];
    path_in(path, "MILLRACE");
    CHECK_EQ(unlink(path), 0);
    CHECK_EQ(verify(), MR_OK);
    found("both copies of the folder's identity");
    CHECK(result.refused);
    CHECK_EQ(result.messages, 20);
}

static void roots(void) {
    make(true);
    flip("log-0000/root", ROOT_SLOT_BYTES + 40, 0x20); /* the first checkpoint has counter 1 */
    CHECK_EQ(verify(), MR_OK);
    CHECK_EQ(seen_count, 1);
    CHECK_STR(found("a checkpoint is named")->file, "log-0000/root");
    CHECK_EQ(result.lost_messages, 0);
    CHECK_EQ(result.messages, 20);
}

static void pages(void) {
    make(true);
    flip(first_segment, place_of("odd", true), 0x20); /* the subjects' page is the last to say it */
    CHECK_EQ(verify(), MR_OK);
    CHECK_STR(found("body does not verify")->record, "page of a checkpoint");
    found("newest checkpoint cannot be used");
    CHECK_EQ(result.lost_messages, 0);
    CHECK_EQ(result.messages, 20);
}

static void cut_off(void) {
    make(true);
    char path[400];
    path_in(path, first_segment);
    CHECK_EQ(truncate(path, (off_t)align_up(place_of("message <12>", false), 4096)), 0);
    CHECK_EQ(verify(), MR_OK);
    CHECK_STR(found("cut off")->file, first_segment);
    CHECK(result.lost_messages > 0 || result.damaged_places > 0);
}

/* What makes the server refuse to open is told, and the rest is read. */
static void refused_segments(void) {
    make(false);
    char from[400], to[400];
    path_in(from, first_segment);
    path_in(to, "log-0000/00000077.seg");
    static uint8_t copy[4 << 20];
    struct stat st;
    CHECK_EQ(stat(from, &st), 0);
    CHECK((size_t)st.st_size <= sizeof copy);
    read_file(from, copy, (size_t)st.st_size);
    write_file(to, copy, (size_t)st.st_size);
    CHECK_EQ(verify(), MR_OK);
    found("a second file with the same segment");
    CHECK(result.refused);
    CHECK_EQ(result.messages, 20);
    for (int i = 0; i < 2; i++) {
        struct seg_header h;
        memcpy(&h, copy, sizeof h);
        h.segno = 77;
        if (i) h.version = 99;
        h.uuid[0] ^= 1;
        seg_header_seal(&h);
        memcpy(copy, &h, sizeof h);
        memcpy(copy + SEG_HEADER_COPY, &h, sizeof h);
        write_file(to, copy, (size_t)st.st_size);
        CHECK_EQ(verify(), MR_OK);
        found(i ? "another format version" : "another store");
        CHECK(result.refused);
        CHECK_EQ(result.messages, 20);
    }
}

static void not_checked(void) {
    make(false);
    world_open(1);
    CHECK_EQ(verify(), MR_LOCKED);
    CHECK_EQ(result.holder, getpid());
    world_close();
    char path[400];
    path_in(path, "lock");
    CHECK_EQ(unlink(path), 0);
    check_clean(); /* without the lock's file there is nobody, and it is not made */
    struct mr_verify_config cfg = {.size = sizeof cfg, .path = "/proc/nowhere"};
    CHECK_EQ(mr_verify(&cfg, &result), MR_GONE);
    cfg.path = NULL;
    CHECK_EQ(mr_verify(&cfg, &result), MR_INVAL);
    temp_dir(w.dir);
    CHECK_EQ(verify(), MR_FOREIGN);
    path_in(path, "letter.txt");
    write_file(path, "dear", 4);
    CHECK_EQ(verify(), MR_FOREIGN);
}

static void other_version(void) {
    make(false);
    write_version(w.dir, 9);
    CHECK_EQ(verify(), MR_FORMAT);
}

/* A configuration of which one copy is damaged is there once. */
static void configuration_twice(void) {
    make(false);
    flip(first_segment, place_of("T", false), 0x20); /* the first record that names stream T */
    CHECK_EQ(verify(), MR_OK);
    CHECK_EQ(result.lost_messages, 0);
    CHECK_EQ(result.streams, 2);
    if (result.damaged_places) CHECK(result.notes > 0 || strcmp(seen[0].record, "stream configuration") != 0);
}

static void many_logs(void) {
    temp_dir(w.dir);
    world_open(3);
    for (uint32_t i = 0; i < 3; i++) {
        char name[8] = {(char)('A' + i), 0};
        struct mr_stream_config cfg = stream_config(name);
        struct mr_stream *s;
        CHECK_EQ(mr_stream_create(w.shards[i], &cfg, io_wall(w.io), &s), MR_OK);
        for (int k = 0; k < 3000; k++) append(s, "a.b", "text", 0), w.done_count = 0;
        for (int k = 0; k < 50; k++) turn(), w.done_count = 0;
    }
    world_close();
    check_clean();
    CHECK_EQ(result.logs, 3);
    CHECK_EQ(result.streams, 3);
    CHECK_EQ(result.messages, 9000);
}

CHECK_MAIN(CASE(whole), CASE(bit_in_a_payload), CASE(bit_in_a_header), CASE(bit_in_what_was_deleted),
           CASE(bit_in_a_segment_header), CASE(identity), CASE(roots), CASE(pages), CASE(cut_off),
           CASE(refused_segments), CASE(not_checked), CASE(other_version), CASE(configuration_twice),
           CASE(many_logs))
