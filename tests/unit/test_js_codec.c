/* The configurations of streams and consumers: every recorded request gives the error or the configuration
 * that nats-server gave, unless the answer depends on what the server already had. */
#include "jetstream/codec_consumer.h"
#include "jetstream/codec_stream.h"
#include "js_recorded.h"

static const struct js_limits limits = {.max_memory = -1,
                                        .max_store = -1,
                                        .max_streams = -1,
                                        .max_consumers = -1,
                                        .max_ack_pending = -1,
                                        .memory_max_stream_bytes = -1,
                                        .store_max_stream_bytes = -1,
                                        .strict = true,
                                        .server_version = "SERVER",
                                        .api_level = 5};

/* Errors that need more than the request: other streams, what exists. */
static bool needs_state(int code) {
    static const int codes[] = {10014, 10017, 10018, 10020, 10056, 10058, 10059, 10065,
                                10074, 10128, 10131, 10137, 10148, 10149, 10185};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        if (codes[i] == code) return true;
    return false;
}

/* Errors the request handlers find before or after the codec. */
static bool handler_says(const char *text) {
    return strstr(text, "for create can not be sealed") || strstr(text, "does have mirror direct") ||
           strstr(text, "configuration update can not") || strstr(text, "can not be updated") ||
           strstr(text, "can not update pu");
}

static void same_error(struct span body, yyjson_val *expect, const struct js_error *e) {
    struct text t = {0};
    js_error_put(&t, e);
    yyjson_doc *got = yyjson_read((const char *)t.p, t.n, 0);
    CHECK(got != NULL);
    if (!yyjson_equals(yyjson_doc_get_root(got), expect)) {
        fprintf(stderr, "%.*s\n  gave     %.*s\n  expected %s\n", (int)body.n, body.p, (int)t.n, t.p,
                yyjson_val_write(expect, 0, NULL));
        exit(1);
    }
    yyjson_doc_free(got);
    text_free(&t);
}

/* Equal but for the server's own metadata. */
static void same_config(struct span body, yyjson_val *expect, const struct text *canonical) {
    struct text t = {0};
    CHECK(!canonical->failed);
    js_config_echo(&t, text_span(canonical), &limits);
    yyjson_mut_doc *d = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *want = yyjson_val_mut_copy(d, expect);
    yyjson_doc *got = yyjson_read((const char *)t.p, t.n, 0);
    CHECK(got != NULL);
    yyjson_mut_val *have = yyjson_val_mut_copy(d, yyjson_doc_get_root(got));
    yyjson_mut_val *meta = yyjson_mut_obj_get(have, "metadata");
    CHECK(yyjson_mut_equals_str(yyjson_mut_obj_get(meta, "_nats.level"), "5"));
    yyjson_mut_obj_put(meta, yyjson_mut_str(d, "_nats.level"), yyjson_mut_str(d, "SERVER"));
    if (!yyjson_mut_equals(want, have)) {
        fprintf(stderr, "%.*s\n  gave     %.*s\n  expected %s\n", (int)body.n, body.p, (int)t.n, t.p,
                yyjson_val_write(expect, 0, NULL));
        exit(1);
    }
    yyjson_doc_free(got);
    yyjson_mut_doc_free(d);
    text_free(&t);
}

static bool unsupported(const struct js_error *e) {
    return strstr(e->text, "not supported by this server") != NULL;
}

static void one_stream(struct span body, yyjson_val *answer) {
    struct stream_cfg c = {0};
    struct js_error e = {JS_OK, ""};
    yyjson_val *error = yyjson_obj_get(answer, "error");
    int code = yyjson_get_int(yyjson_obj_get(error, "err_code"));
    bool ok = stream_cfg_read(&c, body, true, &e) && stream_cfg_check(&c, &limits, &e);
    if (error && (needs_state(code) || handler_says(yyjson_get_str(yyjson_obj_get(error, "description"))))) {
        stream_cfg_free(&c);
        return;
    }
    if (error) {
        CHECK(!ok);
        same_error(body, error, &e);
    } else if (!ok) {
        if (!unsupported(&e)) fprintf(stderr, "%.*s: %s\n", (int)body.n, body.p, e.text);
        CHECK(unsupported(&e));
    } else {
        struct text t = {0};
        if (c.sealed) { /* an update: what sealing implies comes with it */
            struct stream_cfg old = c;
            old.sealed = false;
            CHECK(stream_cfg_check_update(&old, &c, &e));
        }
        stream_cfg_put(&t, &c);
        same_config(body, yyjson_obj_get(answer, "config"), &t);
        text_free(&t);
    }
    stream_cfg_free(&c);
}

static bool is_call(struct span subject, const char *call) {
    char full[64];
    snprintf(full, sizeof full, "$JS.API.%s", call);
    return span_starts(subject, span_str(full));
}

static void recorded_streams(void) {
    yyjson_doc *doc = recorded_read("recorded");
    size_t seen = 0, i, n;
    yyjson_val *step;
    yyjson_arr_foreach(yyjson_doc_get_root(doc), i, n, step) {
        struct span subject = recorded_str(step, "subject");
        if (!is_call(subject, "STREAM.CREATE.") && !is_call(subject, "STREAM.UPDATE.")) continue;
        one_stream(recorded_str(step, "body"), recorded_answer(step));
        seen++;
    }
    CHECK(seen > 50);
    yyjson_doc_free(doc);
}

/* The handler's part: the name in the subject counts. */
static void name_from_subject(struct consumer_cfg *c, struct span subject) {
    struct span pre = SPAN_LIT("$JS.API.CONSUMER.CREATE.");
    if (!span_starts(subject, pre)) pre = SPAN_LIT("$JS.API.CONSUMER.DURABLE.CREATE.");
    struct span rest = span_skip(subject, pre.n);
    const uint8_t *dot = memchr(rest.p, '.', rest.n);
    if (!dot) return;
    rest = span_skip(rest, (size_t)(dot - rest.p) + 1);
    dot = memchr(rest.p, '.', rest.n);
    c->name = span_of(rest.p, dot ? (size_t)(dot - rest.p) : rest.n);
}

static void one_consumer(struct span subject, struct span body, yyjson_val *answer) {
    struct consumer_cfg c;
    struct stream_cfg s = {0};
    struct js_error e = {JS_OK, ""};
    yyjson_val *error = yyjson_obj_get(answer, "error");
    int code = yyjson_get_int(yyjson_obj_get(error, "err_code"));
    struct span stream = SPAN_LIT("{\"name\":\"T\",\"subjects\":[\"t.>\"]}");
    CHECK(stream_cfg_read(&s, stream, true, &e) && stream_cfg_check(&s, &limits, &e));
    bool read = consumer_cfg_read(&c, body, true, &e);
    if (read) name_from_subject(&c, subject);
    bool ok = read && consumer_cfg_check(&c, &s, &limits, &e);
    if (error && !needs_state(code) && !handler_says(yyjson_get_str(yyjson_obj_get(error, "description")))) {
        CHECK(!ok);
        same_error(body, error, &e);
    } else if (!error && !ok) {
        if (!unsupported(&e)) fprintf(stderr, "%.*s: %s\n", (int)body.n, body.p, e.text);
        CHECK(unsupported(&e));
    } else if (!error) {
        struct text t = {0};
        consumer_cfg_settle(&c);
        consumer_cfg_put(&t, &c);
        same_config(body, yyjson_obj_get(answer, "config"), &t);
        text_free(&t);
    }
    if (read) consumer_cfg_free(&c);
    stream_cfg_free(&s);
}

static void recorded_consumers(void) {
    yyjson_doc *doc = recorded_read("recorded");
    size_t seen = 0, i, n;
    yyjson_val *step;
    yyjson_arr_foreach(yyjson_doc_get_root(doc), i, n, step) {
        struct span subject = recorded_str(step, "subject");
        if (!is_call(subject, "CONSUMER.CREATE.") && !is_call(subject, "CONSUMER.DURABLE.CREATE.")) continue;
        one_consumer(subject, recorded_str(step, "body"), recorded_answer(step));
        seen++;
    }
    CHECK(seen > 50);
    yyjson_doc_free(doc);
}

/* What is written is read back the same; equal configurations have equal texts. */
static void canonical_text(void) {
    static const char *const bodies[] = {
        "{\"name\":\"S\"}",
        "{\"name\":\"S\",\"subjects\":[\"a\",\"b.>\"],\"max_age\":1000000000,\"metadata\":{\"b\":\"2\",\"a\":"
        "\"<>&\"}}",
        "{\"name\":\"S\",\"placement\":{\"cluster\":\"x\",\"tags\":[\"t\"]},\"consumer_limits\":{\"max_ack_"
        "pending\":5}}",
        "{\"name\":\"S\",\"metadata\":{\"_nats.ver\":\"1\",\"_nats.level\":\"9\",\"_nats.req.level\":\"3\"}}",
    };
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        struct stream_cfg c, again;
        struct js_error e = {JS_OK, ""};
        struct text one = {0}, two = {0};
        CHECK(stream_cfg_read(&c, span_str(bodies[i]), true, &e) && stream_cfg_check(&c, &limits, &e));
        stream_cfg_put(&one, &c);
        CHECK(stream_cfg_read(&again, text_span(&one), true, &e) && stream_cfg_check(&again, &limits, &e));
        stream_cfg_put(&two, &again);
        CHECK_MEM(one.p, one.n, two.p, two.n);
        CHECK(memmem(one.p, one.n, "_nats.ver", 9) == NULL);
        stream_cfg_free(&c);
        stream_cfg_free(&again);
        text_free(&one);
        text_free(&two);
    }
}

static void consumer_text(void) {
    struct consumer_cfg c, again;
    struct stream_cfg s;
    struct js_error e = {JS_OK, ""};
    struct text one = {0}, two = {0};
    struct span body =
        SPAN_LIT("{\"stream_name\":\"S\",\"config\":{\"name\":\"c\",\"deliver_policy\":\"by_start_time\","
                 "\"opt_start_time\":\"2024-01-01T00:00:00.5+01:00\",\"backoff\":[1000,2000],"
                 "\"ack_policy\":\"explicit\",\"filter_subjects\":[\"a\",\"b\"],\"max_batch\":7}}");
    CHECK(stream_cfg_read(&s, SPAN_LIT("{\"name\":\"S\"}"), true, &e) && stream_cfg_check(&s, &limits, &e));
    CHECK(consumer_cfg_read(&c, body, true, &e) && consumer_cfg_check(&c, &s, &limits, &e));
    consumer_cfg_put(&one, &c);
    CHECK(consumer_cfg_load(&again, text_span(&one), &e));
    consumer_cfg_put(&two, &again);
    CHECK_MEM(one.p, one.n, two.p, two.n);
    CHECK_EQ(again.opt_start_time, 1704063600500000000);
    CHECK_EQ(again.backoff_n, 2);
    CHECK_EQ(again.filters_n, 2);
    CHECK_EQ(again.max_batch, 7);
    CHECK_EQ(again.ack_wait, 1000);
    consumer_cfg_free(&c);
    consumer_cfg_free(&again);
    stream_cfg_free(&s);
    text_free(&one);
    text_free(&two);
}

static void refuses(const char *body, const char *text) {
    struct stream_cfg c;
    struct js_error e = {JS_OK, ""};
    bool ok = stream_cfg_read(&c, span_str(body), true, &e) && stream_cfg_check(&c, &limits, &e);
    CHECK(!ok);
    CHECK_STR(e.text, text);
    stream_cfg_free(&c);
}

/* Never accepted and ignored. */
static void unsupported_is_refused(void) {
    refuses("{\"name\":\"S\",\"first_seq\":18446744073709551615}", "first sequence is too large");
    refuses("{\"name\":\"S\",\"mirror\":{\"name\":\"X\"}}", "mirrors are not supported by this server");
    refuses("{\"name\":\"S\",\"sources\":[{\"name\":\"X\"}]}", "sources are not supported by this server");
    refuses("{\"name\":\"S\",\"republish\":{\"src\":\"a\",\"dest\":\"b\"}}",
            "republish is not supported by this server");
    refuses("{\"name\":\"S\",\"subject_transform\":{}}",
            "subject transforms are not supported by this server");
    refuses("{\"name\":\"S\",\"allow_msg_ttl\":true}", "message TTLs are not supported by this server");
    refuses("{\"name\":\"S\",\"allow_msg_counter\":true}",
            "message counters are not supported by this server");
    refuses("{\"name\":\"S\",\"allow_msg_schedules\":true}",
            "message schedules are not supported by this server");
    refuses("{\"name\":\"S\",\"persist_mode\":\"async\"}",
            "async persist mode is not supported by this server");
    refuses("{\"name\":\"S\",\"compression\":\"s2\"}", "compression is not supported by this server");
}

static void many_subjects(void) {
    struct text t = {0};
    struct stream_cfg c;
    struct js_error e = {JS_OK, ""};
    text_lit(&t, "{\"name\":\"S\",\"subjects\":[");
    for (uint64_t i = 0; i < STREAM_SUBJECTS_MAX + 1; i++) {
        text_item(&t);
        text_lit(&t, "\"s.");
        text_u64(&t, i);
        text_lit(&t, "\"");
    }
    text_lit(&t, "]}");
    CHECK(stream_cfg_read(&c, text_span(&t), true, &e));
    CHECK(!stream_cfg_check(&c, &limits, &e));
    c.subjects_n--;
    CHECK(stream_cfg_check(&c, &limits, &e));
    stream_cfg_free(&c);
    text_free(&t);
}

static void engine_view(void) {
    struct stream_cfg c;
    struct stream_engine_cfg out;
    struct js_error e = {JS_OK, ""};
    struct span body =
        SPAN_LIT("{\"name\":\"S\",\"subjects\":[\"x\",\"y\"],\"storage\":\"memory\",\"max_msgs\":7,"
                 "\"discard\":\"new\",\"allow_direct\":true,\"first_seq\":9}");
    CHECK(stream_cfg_read(&c, body, true, &e) && stream_cfg_check(&c, &limits, &e));
    CHECK(stream_cfg_engine(&c, SPAN_LIT("extra"), &out));
    CHECK_MEM(out.cfg.name.p, out.cfg.name.n, "S", 1);
    CHECK_EQ(out.cfg.subjects_count, 2);
    CHECK_MEM(out.cfg.subjects[1].p, out.cfg.subjects[1].n, "y", 1);
    CHECK_EQ(out.cfg.storage, MR_MEMORY);
    CHECK_EQ(out.cfg.discard, MR_DISCARD_NEW);
    CHECK_EQ(out.cfg.max_msgs, 7);
    CHECK_EQ(out.cfg.max_bytes, -1);
    CHECK_EQ(out.cfg.max_age_ns, 0);
    CHECK_EQ(out.cfg.duplicate_window_ns, 120000000000);
    CHECK_EQ(out.cfg.first_seq, 9);
    CHECK(out.cfg.allow_direct && !out.cfg.sealed);
    CHECK_MEM(out.cfg.extra.p, out.cfg.extra.n, "extra", 5);
    stream_engine_cfg_free(&out);
    stream_cfg_free(&c);
}

CHECK_MAIN(CASE(recorded_streams), CASE(recorded_consumers), CASE(canonical_text), CASE(consumer_text),
           CASE(unsupported_is_refused), CASE(many_subjects), CASE(engine_view))
