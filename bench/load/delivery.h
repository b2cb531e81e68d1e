/* delivery.h - what a pull consumer sends: the sequences in a delivery's reply subject, and how a request
 * ended.
 */
#pragma once
#include "load/run.h"

/* $JS.ACK.<stream>.<consumer>.<delivered>.<stream sequence>...., or the longer form with domain and account.
 */
bool delivery_sequence(struct span reply, uint64_t *delivered, uint64_t *sequence);
/* A status message: left is what the request did not deliver (0 for a heartbeat). False, and the run void,
 * when it is a refusal. */
bool delivery_status(struct link *l, const struct incoming *m, uint64_t *left);
