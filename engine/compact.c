/* compact.c - what the store asks while it empties a segment.
 *
 * A message is wanted where its index entry says that it lies there. Moving it is: append a copy, point the
 * entry at it, declare the original dead, and note that the stream's full record must be written again before
 * the original's segment goes, since replay would count what it then misses as lost. Readers hold sequences,
 * so they notice nothing. An id that is not in the message's headers is in the full records from then on. A
 * refused append changes nothing. */
#include "engine.h"

#include "base/header.h"
#include "base/must.h"

static struct mr_stream *owner_of(const struct shard_log *l, uint32_t stream) {
    must(!l->recovering);
    return stream ? map_u64_get(&l->streams, stream) : NULL;
}

bool compact_wanted(struct shard_log *l, uint8_t kind, uint32_t stream, uint64_t seq, uint64_t loc) {
    must(loc != 0);
    if (kind == REC_CHECKPOINT) return false; /* not counted as content: rewrite.c sees to those */
    const struct mr_stream *s = owner_of(l, stream);
    if (s && s->st.blank) return false; /* not served: what is left of it stays where it is */
    const struct index_entry *x = s ? stream_get(&s->st, seq, false) : NULL;
    return x && x->loc == loc;
}

void mrs_left(struct mr_stream *s, uint64_t loc) {
    must(s->log && loc != 0);
    if (loc_seg(loc) < s->dead_segno) s->dead_segno = loc_seg(loc);
}

enum err compact_move(struct shard_log *l, const struct rec *r, uint64_t from) {
    must(r->kind == REC_MESSAGE || r->kind == REC_MOVED);
    must(!l->failed);
    if (!compact_wanted(l, r->kind, r->stream, r->seq, from)) return ERR_NONE;
    struct mr_stream *s = owner_of(l, r->stream);
    struct rec copy = *r;
    copy.kind = REC_MOVED;
    copy.flags = 0; /* it is no part of a batch any more, and what it rolled up is gone */
    uint64_t to, frame;
    enum err e = store_append(l->store, &copy, STORE_RIDE, &to, &frame);
    if (e) return e;
    must(frame >= l->last_frame);
    struct stream_put p = put_of_record(r, to);
    e = stream_moved(&s->st, &p);
    must(e == ERR_OK);
    struct span id;
    if (!header_get(r->hdr, SPAN_LIT("Nats-Msg-Id"), &id)) s->st.ids_alone = true;
    mrs_left(s, from);
    store_dead(l->store, from, rec_size(r->subject.n, r->hdr.n, r->payload.n));
    return ERR_OK;
}

void compact_lost(struct shard_log *l, uint32_t stream, uint64_t seq, uint64_t loc) {
    must(loc != 0);
    if (compact_wanted(l, REC_MESSAGE, stream, seq, loc)) mrs_lost(owner_of(l, stream), seq);
}
