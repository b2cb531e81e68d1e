/* fuzz_conf.c - the configuration grammar on any bytes. Byte 0x1f separates the main file, the file `inc` and
 * the value of the variable V. A tree that comes out must be consistent; an error must have a place and one
 * line of text. */
#include "base/must.h"
#include "wire/conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct parts {
    struct span main, inc;
    char env[256];
};

static struct span part_take(struct span *rest) {
    const uint8_t *end = rest->n ? memchr(rest->p, 0x1f, rest->n) : NULL;
    struct span part = span_of(rest->p, end ? (size_t)(end - rest->p) : rest->n);
    *rest = span_skip(*rest, part.n + 1);
    return part;
}

static const char *read_part(void *ctx, const char *path, struct span *text) {
    struct parts *parts = ctx;
    size_t n = strlen(path);
    bool main = strcmp(path, "main") == 0;
    if (!main && (n < 3 || strcmp(path + n - 3, "inc") != 0)) return "no such file";
    *text = main ? parts->main : parts->inc;
    return NULL;
}

static const char *env_part(void *ctx, const char *name) {
    struct parts *parts = ctx;
    return strcmp(name, "V") == 0 ? parts->env : NULL;
}

/* A variable may repeat a tree very often: the walk stops when the budget is used. */
static void walk(const struct conf_node *n, int *budget) {
    static const char *const known[] = {"port", "max_payload", "jetstream", NULL};
    uint32_t count = 0;
    int64_t v;
    if (--*budget < 0) return;
    (void)conf_duration_ns(n, &v);
    (void)conf_size(n, &v);
    (void)conf_nearest(n->key, known);
    must(n->depth <= CONF_DEPTH_MAX && n->weight >= 1 && n->weight <= CONF_NODES_MAX);
    must(n->kind == CONF_MAP || n->kind == CONF_ARRAY || n->first == NULL);
    conf_each(k, n) {
        must(k->line >= 1 && k->col >= 1 && k->file != NULL);
        must((n->kind == CONF_MAP) == (k->key.p != NULL));
        must(k->depth < n->depth && k->weight < n->weight);
        must(k->next || k == n->last);
        walk(k, budget);
        count++;
    }
    must(count == n->count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct span rest = span_of(data, size);
    struct parts parts;
    parts.main = part_take(&rest);
    parts.inc = part_take(&rest);
    struct span env = part_take(&rest);
    size_t n = env.n < sizeof parts.env - 1 ? env.n : sizeof parts.env - 1;
    if (n) memcpy(parts.env, env.p, n);
    parts.env[n] = 0;
    struct conf_source src = {read_part, env_part, &parts};
    struct conf c;
    struct conf_error e;
    int budget = 20000;
    if (conf_parse(&c, "main", &src, &e)) {
        must(c.root->kind == CONF_MAP);
        walk(c.root, &budget);
        conf_deinit(&c);
        return 0;
    }
    char text[1024];
    must(e.text[0] != 0);
    must(e.line >= 1 && e.col >= 1);
    must(conf_error_text(&e, text, sizeof text) == strlen(text));
    for (const char *at = text; *at; at++) must((uint8_t)*at >= ' ');
    return 0;
}
