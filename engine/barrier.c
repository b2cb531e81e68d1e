/* barrier.c - "tell me when all of this is durable": an entry behind everything that waits, in the queue of
 * each log it is asked of. Progress that rides is written this turn for it. One that spans several queues is
 * counted down, and the last queue to pass it reports. MR_BUSY when a queue has no room, before anything was
 * pushed. */
#include "engine.h"

#include "base/must.h"

static bool room(struct mr_shard *sh, struct shard_log *only, size_t note) {
    must(note <= CQ_NOTE_MAX);
    if (only) return cq_room(&only->queue, note);
    for (size_t i = 0; i < sh->logs_count; i++)
        if (!cq_room(&sh->logs[i].queue, note)) return false;
    return cq_room(&sh->memory, note);
}

static void push_log(struct shard_log *l, struct cq_entry e, struct span note) {
    must(e.kind == CQ_BARRIER);
    e.frame = CQ_OPEN;
    l->wanted = true;
    if (cq_push(&l->queue, &e, note) && e.stream) e.stream->refs++;
}

static void push_memory(struct mr_shard *sh, struct cq_entry e, struct span note) {
    must(e.kind == CQ_BARRIER);
    must(!e.stream || !e.stream->log);
    e.frame = sh->turn;
    if (cq_push(&sh->memory, &e, note) && e.stream) e.stream->refs++;
}

static enum mr_status whole_shard(struct mr_shard *sh, struct cq_entry e, struct span note) {
    must(e.stream == NULL);
    bool memory = sh->logs_count == 0 || !cq_empty(&sh->memory);
    size_t parts = sh->logs_count + memory;
    must(parts > 0);
    if (parts > 1) {
        struct barrier_part *p = pool_take(&sh->parts);
        if (!p) return MR_BUSY;
        *p = (struct barrier_part){.left = (uint32_t)parts, .status = MR_OK};
        e.part = p;
    }
    for (size_t i = 0; i < sh->logs_count; i++) push_log(&sh->logs[i], e, note);
    if (memory) push_memory(sh, e, note);
    return MR_OK;
}

enum mr_status mr_barrier(struct mr_shard *shard, struct mr_stream *stream, uint64_t tag,
                          struct mr_bytes note) {
    must(!stream || (stream->shard == shard && !stream->deleted));
    if (note.n > CQ_NOTE_MAX) return MR_INVAL;
    if (!room(shard, stream ? stream->log : NULL, note.n)) return MR_BUSY;
    struct cq_entry e = {.kind = CQ_BARRIER, .stream = stream, .tag = tag};
    if (!stream) return whole_shard(shard, e, span_of_bytes(note));
    if (stream->log) {
        push_log(stream->log, e, span_of_bytes(note));
    } else {
        push_memory(shard, e, span_of_bytes(note));
    }
    return MR_OK;
}
