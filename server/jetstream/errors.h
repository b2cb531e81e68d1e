/* errors.h - the JetStream errors a client can meet on one server. Code, number and text are constants of the
 * wire: clients compare them. Texts that are "%s" (or hold one) are completed where the error is raised. */
#pragma once
#include <stdint.h>

#include "base/span.h"
#include "jetstream/text.h"

/*   name, err_code, HTTP-like code, text */
#define JS_CODE_LIST(X)                                                                                      \
    X(ACCOUNT_RESOURCES, 10002, 400, "resource limits exceeded for account")                                 \
    X(BAD_REQUEST, 10003, 400, "bad request")                                                                \
    X(CLUSTER_REQUIRED, 10010, 503, "JetStream clustering support required")                                 \
    X(CONSUMER_CREATE, 10012, 500, "%s")                                                                     \
    X(CONSUMER_NAME_EXISTS, 10013, 400, "consumer name already in use")                                      \
    X(CONSUMER_NOT_FOUND, 10014, 404, "consumer not found")                                                  \
    X(DURABLE_NOT_IN_SUBJECT, 10016, 400,                                                                    \
      "consumer expected to be durable but no durable name set in subject")                                  \
    X(DURABLE_MISMATCH, 10017, 400, "consumer name in subject does not match durable name in request")       \
    X(DURABLE_NOT_SET, 10018, 400, "consumer expected to be durable but a durable name was not set")         \
    X(EPHEMERAL_WITH_DURABLE, 10020, 400,                                                                    \
      "consumer expected to be ephemeral but a durable name was set in request")                             \
    X(INSUFFICIENT_RESOURCES, 10023, 503, "insufficient resources")                                          \
    X(INVALID_JSON, 10025, 400, "invalid JSON: %s")                                                          \
    X(MAX_CONSUMERS, 10026, 400, "maximum consumers limit reached")                                          \
    X(MAX_STREAMS, 10027, 400, "maximum number of streams reached")                                          \
    X(NO_MEMORY, 10028, 500, "insufficient memory resources available")                                      \
    X(NO_MESSAGE, 10037, 404, "no message found")                                                            \
    X(NOT_EMPTY, 10038, 400, "expected an empty request payload")                                            \
    X(SEQ_NOT_FOUND, 10043, 400, "sequence %s not found")                                                    \
    X(NO_STORAGE, 10047, 500, "insufficient storage resources available")                                    \
    X(STREAM_CREATE, 10049, 500, "%s")                                                                       \
    X(STREAM_DELETE, 10050, 500, "%s")                                                                       \
    X(STREAM_GENERAL, 10051, 500, "%s")                                                                      \
    X(STREAM_CONFIG, 10052, 500, "%s")                                                                       \
    X(TOO_LARGE, 10054, 400, "message size exceeds maximum allowed")                                         \
    X(STREAM_MISMATCH, 10056, 400, "stream name in subject does not match request")                          \
    X(MSG_DELETE, 10057, 500, "%s")                                                                          \
    X(STREAM_EXISTS, 10058, 400, "stream name already in use with a different configuration")                \
    X(STREAM_NOT_FOUND, 10059, 404, "stream not found")                                                      \
    X(EXPECTED_STREAM, 10060, 400, "expected stream does not match")                                         \
    X(SUBJECT_OVERLAP, 10065, 400, "subjects overlap with an existing stream")                               \
    X(STREAM_UPDATE, 10069, 500, "%s")                                                                       \
    X(WRONG_LAST_ID, 10070, 400, "wrong last msg ID: %s")                                                    \
    X(WRONG_LAST_SEQ, 10071, 400, "wrong last sequence: %s")                                                 \
    X(REPLICAS, 10074, 500, "replicas > 1 not supported in non-clustered mode")                              \
    X(STORE_FAILED, 10077, 503, "%s")                                                                        \
    X(DELIVER_WILDCARD, 10079, 400, "consumer deliver subject has wildcards")                                \
    X(PUSH_MAX_WAITING, 10080, 400, "consumer in push mode can not set max waiting")                         \
    X(DELIVER_CYCLE, 10081, 400, "consumer deliver subject forms a cycle")                                   \
    X(ACK_PENDING_POLICY, 10082, 400, "consumer requires ack policy for max ack pending")                    \
    X(SMALL_HEARTBEAT, 10083, 400, "consumer idle heartbeat needs to be >= 100ms")                           \
    X(PULL_QUEUE_ACK, 10084, 400, "consumer in pull mode requires explicit ack policy on workqueue stream")  \
    X(PULL_RATE_LIMIT, 10086, 400, "consumer in pull mode can not have rate limit set")                      \
    X(HEARTBEAT_PUSH, 10088, 400, "consumer idle heartbeat requires a push based consumer")                  \
    X(FLOW_CONTROL_PUSH, 10089, 400, "consumer flow control requires a push based consumer")                 \
    X(DIRECT_PUSH, 10090, 400, "consumer direct requires a push based consumer")                             \
    X(DIRECT_EPHEMERAL, 10091, 400, "consumer direct requires an ephemeral consumer")                        \
    X(CONSUMER_POLICY, 10094, 400, "%s")                                                                     \
    X(SAMPLING, 10095, 400, "failed to parse consumer sampling configuration: %s")                           \
    X(HEADER_TOO_LARGE, 10097, 400, "header size exceeds maximum allowed of 64k")                            \
    X(QUEUE_ACK, 10098, 400, "workqueue stream requires explicit ack")                                       \
    X(QUEUE_UNFILTERED, 10099, 400, "multiple non-filtered consumers not allowed on workqueue stream")       \
    X(QUEUE_NOT_UNIQUE, 10100, 400, "filtered consumer not unique on workqueue stream")                      \
    X(QUEUE_DELIVER, 10101, 400, "consumer must be deliver all on workqueue stream")                         \
    X(NAME_TOO_LONG, 10102, 400, "consumer name is too long, maximum allowed is %s")                         \
    X(BAD_DURABLE, 10103, 400, "durable name can not contain '.', '*', '>'")                                 \
    X(CONSUMER_ACTIVE, 10105, 400, "consumer already exists and is still active")                            \
    X(DESCRIPTION_TOO_LONG, 10107, 400, "consumer description is too long, maximum allowed is %s")           \
    X(FLOW_CONTROL_HEARTBEAT, 10108, 400, "consumer with flow control also needs heartbeats")                \
    X(SEALED, 10109, 400, "invalid operation on sealed stream")                                              \
    X(PURGE_FAILED, 10110, 500, "%s")                                                                        \
    X(ROLLUP, 10111, 500, "%s")                                                                              \
    X(DELIVER_INVALID, 10112, 400, "invalid push consumer deliver subject")                                  \
    X(MAX_BYTES_REQUIRED, 10113, 400, "account requires a stream config to have max bytes set")              \
    X(SMALL_EXPIRES, 10115, 400, "consumer max request expires needs to be >= 1ms")                          \
    X(BACKOFF_LENGTH, 10116, 400, "max deliver is required to be > length of backoff values")                \
    X(ACK_PENDING_EXCESS, 10121, 400, "consumer max ack pending exceeds system limit of %s")                 \
    X(STREAM_BYTES_EXCESS, 10122, 400, "stream max bytes exceeds account limit max stream bytes")            \
    X(BATCH_EXCESS, 10125, 400, "consumer max request batch exceeds server limit of %s")                     \
    X(CONSUMER_REPLICAS, 10126, 400, "consumer config replica count exceeds parent stream")                  \
    X(CONSUMER_SEPARATOR, 10127, 400, "Consumer name can not contain path separators")                       \
    X(STREAM_SEPARATOR, 10128, 400, "Stream name can not contain path separators")                           \
    X(FILTER_MISMATCH, 10131, 400,                                                                           \
      "Consumer create request did not match filtered subject from create subject")                          \
    X(NAME_MISMATCH, 10132, 400, "Consumer Durable and Name have to be equal if both are provided")          \
    X(NEGATIVE_REPLICAS, 10133, 400, "replicas count cannot be negative")                                    \
    X(CONSUMER_METADATA, 10135, 400, "consumer metadata exceeds maximum size of %s")                         \
    X(BOTH_FILTERS, 10136, 400, "consumer cannot have both FilterSubject and FilterSubjects specified")      \
    X(FILTERS_API, 10137, 400, "consumer with multiple subject filters cannot use subject based API")        \
    X(FILTERS_OVERLAP, 10138, 400, "consumer subject filters cannot overlap")                                \
    X(EMPTY_FILTER, 10139, 400, "consumer filter in FilterSubjects cannot be empty")                         \
    X(CONSUMER_EXISTS, 10148, 400, "consumer already exists")                                                \
    X(CONSUMER_MISSING, 10149, 400, "consumer does not exist")                                               \
    X(INACTIVE_EXCESS, 10153, 400, "consumer inactive threshold exceeds system limit of %s")                 \
    X(PEDANTIC, 10157, 400, "pedantic mode: %s")                                                             \
    X(WRONG_LAST_SEQ_ANY, 10164, 400, "wrong last sequence")                                                 \
    X(TTL_DISABLED, 10166, 400, "per-message TTL is disabled")                                               \
    X(COUNTER_DISABLED, 10168, 400, "message counters is disabled")                                          \
    X(BATCH_DISABLED, 10174, 400, "atomic publish is disabled")                                              \
    X(BATCH_NO_SEQ, 10175, 400, "atomic publish sequence is missing")                                        \
    X(BATCH_INCOMPLETE, 10176, 400, "atomic publish batch is incomplete")                                    \
    X(BATCH_HEADER, 10177, 400, "atomic publish unsupported header used: %s")                                \
    X(BATCH_ID, 10179, 400, "atomic publish batch ID is invalid")                                            \
    X(ACK_WAIT, 10183, 400, "consumer ack wait needs to be positive")                                        \
    X(BACKOFF, 10184, 400, "consumer backoff needs to be positive")                                          \
    X(API_LEVEL, 10185, 412, "JetStream minimum api level required")                                         \
    X(SCHEDULES_DISABLED, 10188, 400, "message schedules is disabled")                                       \
    X(SEQ_MISSING, 10193, 400, "missing sequence for expected last sequence per subject")                    \
    X(GROUPS_NO_POLICY, 10196, 400, "consumer can not have priority groups when policy is none")             \
    X(PINNED_NO_POLICY, 10197, 400, "PinnedTTL cannot be set when PriorityPolicy is none")                   \
    X(BATCH_TOO_LARGE, 10199, 400, "atomic publish batch is too large: %s")                                  \
    X(BATCH_COMMIT, 10200, 400, "atomic publish batch commit is invalid")                                    \
    X(BATCH_DUPLICATE, 10201, 400, "atomic publish batch contains duplicate message id")                     \
    X(FAST_DISABLED, 10205, 400, "batch publish is disabled")                                                \
    X(FAST_PATTERN, 10206, 400, "batch publish pattern is invalid")                                          \
    X(FAST_ID, 10207, 400, "batch publish ID is invalid")                                                    \
    X(FAST_UNKNOWN, 10208, 400, "batch publish ID unknown")                                                  \
    X(BATCH_INFLIGHT, 10210, 429, "atomic publish too many inflight")                                        \
    X(FAST_INFLIGHT, 10211, 429, "batch publish too many inflight")                                          \
    X(SCHEDULER, 10212, 400, "message schedules invalid scheduler")                                          \
    X(FC_NEEDS_PUSH, 10218, 400, "flow control ack policy requires a push based consumer")                   \
    X(SOURCE_HEADER, 10227, 400, "message stream source header is not allowed")

enum js_code {
    JS_OK,
#define X(name, err_code, code, text) JS_##name,
    JS_CODE_LIST(X)
#undef X
        JS_CODE_COUNT
};

/* A refusal, complete with its text. code JS_OK: none. */
struct js_error {
    enum js_code code;
    char text[512];
};

/* Fills e with the code's text; arg replaces its %s (NULL: none) and is cut when too long. Returns false, so
 * that checks can end in `return js_fail(...)`. */
bool js_fail(struct js_error *e, enum js_code code, const char *arg);
/* The same with a formatted argument. */
__attribute__((format(printf, 3, 4))) bool js_failf(struct js_error *e, enum js_code code, const char *fmt,
                                                    ...);
bool js_fail_u64(struct js_error *e, enum js_code code, uint64_t n);
uint32_t js_err_code(enum js_code code);

/* `{"code":400,"err_code":10003,"description":"bad request"}` */
void js_error_put(struct text *t, const struct js_error *e);
