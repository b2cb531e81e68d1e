/* sound.h - whole-structure checks: everything that is counted, linked or cached is compared with what it
 * stands for. O(n), for tests and for must_slow() builds; a mismatch is a must_fail(). */
#pragma once
#include "stream/consumer.h"
#include "stream/stream.h"

/* Always true, so that it can stand in must_slow(). */
bool stream_is_sound(const struct stream *st);
bool consumer_is_sound(struct consumer *c);
