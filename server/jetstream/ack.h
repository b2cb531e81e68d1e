/* ack.h - acknowledgements: messages on $JS.ACK. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "jetstream/casts.h"
#include "jetstream/core.h"

/* What an ack subject says; spans lie in it. */
struct ack_subject {
    struct span stream, path /* "stream.consumer" */;
    uint64_t delivered, sseq, cseq;
};
/* `$JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<ts>.<pending>`, or the longer form
 * with domain and account in front. False: not an ack subject. */
bool ack_subject_get(struct span subject, struct ack_subject *a);

enum ack_verb { ACK_ACK, ACK_NAK, ACK_PROGRESS, ACK_TERM, ACK_NEXT, ACK_NOTHING };
/* What the payload asks for; rest is what stands behind the verb (a delay, a reason, a pull request). */
enum ack_verb ack_verb_get(struct span payload, struct span *rest);
/* `{"delay": 1000000}` or `5s`; 0 when there is none or it cannot be read. */
int64_t ack_delay_get(struct span rest);

enum err js_ack_open(struct js *js) MUST_USE;
void js_ack_close(struct js *js);
/* One with a reply is durable, or never will be. */
void js_ack_done(struct js *js, const struct mr_done *d);
void js_ack_on_cast(struct js *js, const struct cast *c);
