/* Copies of configurations: deep, bounded, whatever the program was built against. */
#include "lib/check.h"
#include "stream/config.h"

#define B(s) ((struct mr_bytes){(const uint8_t *)(s), strlen(s)})

static void copies_are_deep(void) {
    char name[] = "S", one[] = "a.>", extra[] = "xyz";
    struct mr_bytes subjects[] = {B(one), B("b")};
    struct mr_stream_config c = {.size = sizeof c,
                                 .name = B(name),
                                 .subjects = subjects,
                                 .subjects_count = 2,
                                 .max_msgs = 7,
                                 .extra = B(extra)};
    struct stream_conf copy;
    CHECK_EQ(stream_conf_copy(&copy, &c), ERR_OK);
    name[0] = one[0] = extra[0] = '?';
    subjects[1] = B("gone");
    CHECK(span_eq(span_of_bytes(copy.c.name), SPAN_LIT("S")));
    CHECK(span_eq(span_of_bytes(copy.c.subjects[0]), SPAN_LIT("a.>")));
    CHECK(span_eq(span_of_bytes(copy.c.subjects[1]), SPAN_LIT("b")));
    CHECK(span_eq(span_of_bytes(copy.c.extra), SPAN_LIT("xyz")));
    CHECK_EQ(copy.c.max_msgs, 7);
    stream_conf_deinit(&copy);
    CHECK(!copy.block);
}

static void consumer_copies_are_deep(void) {
    int64_t backoff[] = {1, 2, 3};
    struct mr_bytes filters[] = {B("a"), B("b.*")};
    struct mr_consumer_config c = {.size = sizeof c,
                                   .name = B("C"),
                                   .backoff_ns = backoff,
                                   .backoff_count = 3,
                                   .filters = filters,
                                   .filters_count = 2};
    struct consumer_conf copy;
    CHECK_EQ(consumer_conf_copy(&copy, &c), ERR_OK);
    backoff[2] = 9;
    filters[0] = B("x");
    CHECK_EQ(copy.c.backoff_ns[2], 3);
    CHECK(span_eq(span_of_bytes(copy.c.filters[0]), SPAN_LIT("a")));
    consumer_conf_deinit(&copy);
}

static void empty_lists_are_null(void) {
    struct mr_stream_config c = {.size = sizeof c, .name = B("S")};
    struct stream_conf copy;
    CHECK_EQ(stream_conf_copy(&copy, &c), ERR_OK);
    CHECK(!copy.c.subjects && copy.c.extra.n == 0);
    stream_conf_deinit(&copy);
}

static enum err stream_with(struct mr_stream_config c) {
    struct stream_conf copy;
    enum err e = stream_conf_copy(&copy, &c);
    if (e == ERR_OK) stream_conf_deinit(&copy);
    return e;
}

static void stream_bounds(void) {
    static uint8_t big[CONF_EXTRA_MAX + 1];
    struct mr_stream_config ok = {.size = sizeof ok, .name = B("S")}, c = ok;
    CHECK_EQ(stream_with(ok), ERR_OK);
    c.size = sizeof c + 64; /* a later version's: its end is not looked at */
    CHECK_EQ(stream_with(c), ERR_OK);
    c.size = 8;
    CHECK_EQ(stream_with(c), ERR_INVAL);
    c = ok, c.name = (struct mr_bytes){big, CONF_NAME_MAX + 1};
    CHECK_EQ(stream_with(c), ERR_INVAL);
    c = ok, c.extra = (struct mr_bytes){big, CONF_EXTRA_MAX};
    CHECK_EQ(stream_with(c), ERR_OK);
    c.extra.n++;
    CHECK_EQ(stream_with(c), ERR_INVAL);
    c = ok, c.storage = (enum mr_storage)2;
    CHECK_EQ(stream_with(c), ERR_INVAL);
    c = ok, c.retention = (enum mr_retention)3;
    CHECK_EQ(stream_with(c), ERR_INVAL);
    c = ok, c.discard = (enum mr_discard)2;
    CHECK_EQ(stream_with(c), ERR_INVAL);
    c = ok, c.max_age_ns = -1;
    CHECK_EQ(stream_with(c), ERR_INVAL);
    c = ok, c.duplicate_window_ns = -1;
    CHECK_EQ(stream_with(c), ERR_INVAL);
    c = ok, c.first_seq = MR_FIRST_SEQ_MAX;
    CHECK_EQ(stream_with(c), ERR_OK);
    c.first_seq++;
    CHECK_EQ(stream_with(c), ERR_INVAL);
}

static enum err consumer_with(struct mr_consumer_config c) {
    struct consumer_conf copy;
    enum err e = consumer_conf_copy(&copy, &c);
    if (e == ERR_OK) consumer_conf_deinit(&copy);
    return e;
}

static void consumer_bounds(void) {
    static int64_t backoff[CONF_BACKOFF_MAX + 1];
    struct mr_consumer_config ok = {.size = sizeof ok, .name = B("C")}, c = ok;
    CHECK_EQ(consumer_with(ok), ERR_OK);
    c = ok, c.deliver = (enum mr_deliver)6;
    CHECK_EQ(consumer_with(c), ERR_INVAL);
    c = ok, c.ack = (enum mr_ack_policy)3;
    CHECK_EQ(consumer_with(c), ERR_INVAL);
    c = ok, c.ack_wait_ns = -1;
    CHECK_EQ(consumer_with(c), ERR_INVAL);
    c = ok, c.backoff_ns = backoff, c.backoff_count = CONF_BACKOFF_MAX;
    CHECK_EQ(consumer_with(c), ERR_OK);
    c.backoff_count++;
    CHECK_EQ(consumer_with(c), ERR_INVAL);
    c.backoff_count = 1, backoff[0] = -1;
    CHECK_EQ(consumer_with(c), ERR_INVAL);
}

CHECK_MAIN(CASE(copies_are_deep), CASE(consumer_copies_are_deep), CASE(empty_lists_are_null),
           CASE(stream_bounds), CASE(consumer_bounds))
