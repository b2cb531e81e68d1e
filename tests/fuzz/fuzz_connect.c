/* fuzz_connect.c - what stands behind CONNECT, the first thing a stranger may send. Refused input leaves the
 * options alone; what comes out is valid UTF-8; and a text is either parsed or explained. */
#include "base/must.h"
#include "wire/connect.h"
#include "wire/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_parsed_or_explained(struct span text) {
    struct json_err e;
    yyjson_doc *doc = json_read(text, CONNECT_DEPTH_MAX, &e);
    if (!doc) must(e.text[0] != 0);
    struct json_err why;
    if (doc) must(!json_explain(text, &why));
    yyjson_doc_free(doc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct span text = span_of(data, size);
    struct connect_opts o;
    connect_init(&o);
    must(connect_parse(&o, SPAN_LIT("{\"user\":\"before\",\"verbose\":false}")));
    if (connect_parse(&o, text)) {
        const struct span strings[] = {o.user, o.pass, o.auth_token, o.nkey,    o.jwt,      o.sig,
                                       o.name, o.lang, o.version,    o.account, o.proxy_sig};
        for (size_t i = 0; i < sizeof strings / sizeof strings[0]; i++) must(utf8_valid(strings[i]));
    } else {
        must(span_eq(o.user, SPAN_LIT("before")));
        must(!o.verbose && o.echo);
    }
    connect_deinit(&o);
    check_parsed_or_explained(text);
    return 0;
}
