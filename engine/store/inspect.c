/* inspect.c - a log opened to be looked at (store_config.read_only). recover.c reads and decides as ever;
 * what it would then mend, set aside or close is told to owner.damaged instead, and nothing on disk changes.
 *
 * Happy path: nothing is told. What makes an ordinary opening fail - a segment of another store or of a later
 * format, two files that are the same segment - is told too, and the others are read. The log that results
 * has failed from the start, so that it serves reads and takes nothing. Only memory and the device can stop
 * it. */
#include <string.h>

#include "base/bytes.h"
#include "base/must.h"
#include "store/recover.h"

static void tell(struct store *s, const struct seg *g, uint64_t off, uint64_t size, const char *what) {
    struct store_damage d = {.off = off, .size = size, .what = what};
    must(what != NULL);
    if (g) {
        d.segno = g->segno;
        seg_name(g, d.file);
    } else {
        memcpy(d.file, "root", sizeof "root");
    }
    tell_damage(s, &d);
}

/* --- segments that are passed over --- */

void inspect_headless(struct store *s, struct seg *g) {
    must(s->cfg.read_only && !s->opened);
    must(g->segno == 0);
    tell(s, g, 0, g->size, "a segment whose headers are both damaged: it would be set aside");
    seg_discard(s, g);
}

enum err inspect_refused(struct store *s, struct seg *g, enum err why) {
    must(s->cfg.read_only && !s->opened);
    must(why != ERR_OK);
    if (why == ERR_NOMEM) {
        seg_discard(s, g);
        return why;
    }
    const char *what = why == ERR_FOREIGN      ? "a segment of another store or log"
                       : why == ERR_FORMAT     ? "a segment of another format version"
                       : why == ERR_IO         ? "a segment whose headers cannot be read"
                       : seg_find(s, g->segno) ? "a second file with the same segment"
                                               : "a segment whose header holds what cannot be";
    s->refused_open = true;
    g->segno = 0; /* of no segment that is read */
    tell(s, g, 0, SEG_HEADERS_BYTES, what);
    seg_discard(s, g);
    return ERR_OK;
}

void inspect_set_aside(struct store *s, const char *name) {
    struct store_damage d = {.what = "a segment whose headers are both damaged: set aside earlier"};
    must(s->cfg.read_only);
    must(strlen(name) < sizeof d.file);
    memcpy(d.file, name, strlen(name));
    tell_damage(s, &d);
}

/* --- what would be mended --- */

void inspect_slot(struct store *s, unsigned slot, const uint8_t *p, size_t n) {
    bool blank = true;
    must(slot < 2);
    must(n <= ROOT_SLOT_BYTES);
    for (size_t i = 0; i < n; i++) blank = blank && p[i] == 0;
    if (blank && n == ROOT_SLOT_BYTES) return;
    tell(s, NULL, (uint64_t)slot * ROOT_SLOT_BYTES, ROOT_SLOT_BYTES,
         "a place where a checkpoint is named; the other one, or the whole log, stands in");
}

/* Without frames it may be a stop between the two, which is no damage. */
static void inspect_header(struct store *s, const struct seg *g) {
    must(g->segno > 0);
    if (!g->half_headed || !g->last_no) return;
    uint64_t bad = SEG_HEADER_COPY - (uint64_t)g->repair * SEG_HEADER_COPY;
    tell(s, g, bad, sizeof(struct seg_header), "one of two copies of a segment's header");
}

/* A file that a recovery cut behind the last frame is as long as it should be. */
static void inspect_length(struct store *s, const struct seg *g) {
    must(g->segno > 0);
    if (g->held >= g->size || (g->ended && g->held >= g->end)) return;
    tell(s, g, g->held, g->size - g->held,
         "a segment file that is cut off: a record behind that, if there was one, is lost");
}

/* --- progress, and the end --- */

void inspect_progress(const struct recovery *r) {
    const struct store *s = r->s;
    uint64_t total = 0;
    must(s->owner.progress != NULL);
    for (size_t i = r->start_seg; i < s->segs_len; i++)
        total += s->segs[i]->held < s->segs[i]->size ? s->segs[i]->held : s->segs[i]->size;
    s->owner.progress(s->owner.ctx, r->win.bytes < total ? r->win.bytes : total, total);
}

enum err inspect_resume(struct recovery *r) {
    struct store *s = r->s;
    must(s->cfg.read_only);
    must(s->place == NULL);
    for (size_t i = 0; i < s->segs_len; i++) {
        inspect_header(s, s->segs[i]);
        inspect_length(s, s->segs[i]);
    }
    s->failed = s->maker.no_space = true;
    s->why = s->maker.why = ERR_PERM;
    return buffer_init(s, r->next);
}
