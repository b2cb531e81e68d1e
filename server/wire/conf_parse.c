/* conf_parse.c - from the words of conf_lex to the tree: maps, arrays, variables, included files. Happy path:
 * recursive descent over one file, nodes and texts into chunks that are freed together. The first thing wrong
 * ends it: every function answers false with the error filled. Depth, files, nodes and bytes are bounded, a
 * value that a variable repeats counts each time. */
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/must.h"
#include "wire/conf.h"
#include "wire/conf_lex.h"
#include "wire/gotime.h"

enum { CHUNK_BYTES = 16 << 10 };

struct conf_chunk {
    struct conf_chunk *next;
    size_t used, cap;
    _Alignas(16) uint8_t bytes[];
};

struct job { /* one conf_parse */
    struct conf *c;
    const struct conf_source *src;
    struct conf_error *e;
    uint32_t nodes;
    size_t bytes;
};

struct env_ref { /* variables of the environment being read, innermost first */
    struct span name;
    const struct env_ref *up;
    uint32_t depth;
};

struct unit { /* one text: a file or a variable's value */
    struct job *job;
    struct lex lex;
    uint32_t files; /* how many files deep */
    const struct env_ref *refs;
};

struct scope { /* the maps around the cursor, innermost first; level counts arrays too */
    struct conf_node *map;
    const struct scope *up;
    uint32_t level;
};

/* --- memory --- */

static void *take(struct job *j, size_t n) {
    struct conf_chunk *k = j->c->chunks;
    n = (n + 15) & ~(size_t)15;
    if (!k || k->cap - k->used < n) {
        size_t cap = n > CHUNK_BYTES ? n : CHUNK_BYTES;
        k = malloc(sizeof *k + cap);
        if (!k) return NULL;
        *k = (struct conf_chunk){.next = j->c->chunks, .cap = cap};
        j->c->chunks = k;
    }
    void *p = k->bytes + k->used;
    k->used += n;
    must(k->used <= k->cap);
    return p;
}

void conf_deinit(struct conf *c) {
    must(c != NULL);
    for (struct conf_chunk *k = c->chunks, *next; k; k = next) {
        next = k->next;
        free(k);
    }
    *c = (struct conf){0};
}

static bool no_memory(struct unit *u) { return lex_fail(&u->lex, "out of memory"); }

/* A copy with a NUL behind it. */
static bool text_copy(struct unit *u, struct span s, struct span *out) {
    uint8_t *p = take(u->job, s.n + 1);
    if (!p) return no_memory(u);
    if (s.n) memcpy(p, s.p, s.n);
    p[s.n] = 0;
    *out = span_of(p, s.n);
    return true;
}

/* A node that stands where the cursor is. */
static struct conf_node *node_new(struct unit *u) {
    if (++u->job->nodes > CONF_NODES_MAX) return lex_fail(&u->lex, "too many values"), NULL;
    struct conf_node *n = take(u->job, sizeof *n);
    if (!n) return no_memory(u), NULL;
    *n = (struct conf_node){.file = u->lex.file, .line = u->lex.line, .col = lex_col(&u->lex), .weight = 1};
    return n;
}

/* --- the tree --- */

static void append(struct conf_node *parent, struct conf_node *n) {
    must(parent->kind == CONF_MAP || parent->kind == CONF_ARRAY);
    must(n->next == NULL);
    if (parent->last)
        parent->last->next = n;
    else
        parent->first = n;
    parent->last = n;
    parent->count++;
    parent->weight += n->weight;
    if (parent->depth < n->depth + 1) parent->depth = n->depth + 1;
}

static struct conf_node *find_exact(const struct conf_node *map, struct span key) {
    must(map->kind == CONF_MAP);
    for (struct conf_node *n = map->first; n; n = n->next) {
        if (span_eq(n->key, key)) return n;
    }
    return NULL;
}

static void unlink_child(struct conf_node *parent, struct conf_node *n) {
    must(parent->weight > n->weight);
    struct conf_node *before = NULL;
    for (struct conf_node *at = parent->first; at != n; at = at->next) before = at;
    if (before)
        before->next = n->next;
    else
        parent->first = n->next;
    if (parent->last == n) parent->last = before;
    must(parent->count > 0);
    parent->count--;
    parent->weight -= n->weight;
    n->next = NULL;
}

/* Of equal keys the later one stays. */
static void map_add(struct conf_node *map, struct conf_node *n) {
    must(map->kind == CONF_MAP);
    struct conf_node *old = find_exact(map, n->key);
    if (old) unlink_child(map, old);
    append(map, n);
}

/* --- plain values --- */

static bool integer(struct conf_node *n, struct conf_error *e) {
    static const char units[] = "kmgtpe";
    size_t digits = n->str.p[0] == '-';
    while (digits < n->str.n && n->str.p[digits] >= '0' && n->str.p[digits] <= '9') digits++;
    const char *text = (const char *)n->str.p, *suffix = text + digits;
    bool over = false;
    for (size_t i = *text == '-'; i < digits; i++) {
        int64_t d = *text == '-' ? '0' - text[i] : text[i] - '0';
        over = over || __builtin_mul_overflow(n->i, 10, &n->i) || __builtin_add_overflow(n->i, d, &n->i);
    }
    if (*suffix) {
        const char *unit = strchr(units, *suffix | 0x20);
        bool binary =
            !strcasecmp(suffix + 1, "b") || !strcasecmp(suffix + 1, "i") || !strcasecmp(suffix + 1, "ib");
        must(unit != NULL);
        if (suffix[1] && !binary) return conf_fail(e, n, "unknown size suffix in '%s'", text), false;
        for (const char *u = units; u <= unit; u++) {
            over = over || __builtin_mul_overflow(n->i, binary ? 1024 : 1000, &n->i);
        }
    }
    if (over) return conf_fail(e, n, "integer '%s' is out of the range", text), false;
    n->f = (double)n->i;
    return true;
}

/* n->str holds the text; the kind is known. */
static bool scalar_value(struct conf_node *n, struct conf_error *e) {
    const char *text = (const char *)n->str.p;
    switch (n->kind) {
    case CONF_INT: return integer(n, e);
    case CONF_BOOL:
        n->b = !strcasecmp(text, "true") || !strcasecmp(text, "on") || !strcasecmp(text, "yes");
        return true;
    case CONF_FLOAT:
        n->f = strtod(text, NULL);
        if (n->f - n->f != 0) return conf_fail(e, n, "float '%s' is out of the range", text), false;
        return true;
    case CONF_TIME:
        if (gotime_get(n->str, &n->i)) return true;
        return conf_fail(e, n, "expected Zulu formatted DateTime, but got '%s'", text), false;
    default: must(n->kind == CONF_STR); return true;
    }
}

/* --- variables --- */

/* The value of one node into another that keeps its own key and place; children are shared. */
static bool value_share(struct unit *u, struct conf_node *to, struct conf_node *from, uint32_t level) {
    must(from->weight > 0);
    u->job->nodes += from->weight - 1;
    if (u->job->nodes > CONF_NODES_MAX) return lex_fail(&u->lex, "too many values");
    if (level + from->depth > CONF_DEPTH_MAX) return lex_fail(&u->lex, "nested too deep");
    struct conf_node own = *to;
    *to = *from;
    to->key = own.key;
    to->file = own.file;
    to->line = own.line;
    to->col = own.col;
    to->next = NULL;
    to->used = false;
    return true;
}

static bool top(struct unit *u, struct conf_node *root, uint32_t level);

/* The value text of an environment variable: parsed as the value of a key of its own. */
static bool env_parse(struct unit *u, const struct env_ref *ref, const char *value, struct conf_node *n,
                      uint32_t level) {
    static const char head[] = "pk=";
    struct conf_error e;
    struct conf_node root = {.kind = CONF_MAP, .weight = 1};
    struct job *j = u->job;
    struct span text;
    size_t len = strlen(value);
    uint8_t *p = take(j, sizeof head - 1 + len);
    if (!p) return no_memory(u);
    memcpy(p, head, sizeof head - 1);
    memcpy(p + sizeof head - 1, value, len);
    text = span_of(p, sizeof head - 1 + len);
    struct unit inner = {.job = j, .files = u->files, .refs = ref};
    struct conf_error *outer_e = j->e;
    j->e = &e;
    bool ok = lex_init(&inner.lex, text, u->lex.file, &e) && top(&inner, &root, level - 1);
    j->e = outer_e;
    if (!ok) {
        return lex_fail(&u->lex, "variable reference for '%.*s' on line %u could not be parsed: %s",
                        (int)ref->name.n, (const char *)ref->name.p, u->lex.line, e.text);
    }
    struct conf_node *found = find_exact(&root, SPAN_LIT("pk"));
    must(found != NULL);
    return value_share(u, n, found, level);
}

static bool env_value(struct unit *u, struct span name, struct conf_node *n, uint32_t level) {
    must(level > 0);
    struct span key;
    const struct conf_source *src = u->job->src;
    if (!text_copy(u, name, &key)) return false;
    for (const struct env_ref *r = u->refs; r; r = r->up) {
        if (span_eq(r->name, key))
            return lex_fail(&u->lex, "variable reference cycle for '%s'", (const char *)key.p);
    }
    struct env_ref ref = {key, u->refs, u->refs ? u->refs->depth + 1 : 1};
    if (ref.depth > CONF_INCLUDE_MAX) return lex_fail(&u->lex, "variables nested too deep");
    const char *value = src->env && key.n ? src->env(src->ctx, (const char *)key.p) : NULL;
    if (!value) {
        return lex_fail(&u->lex, "variable reference for '%s' on line %u can not be found",
                        (const char *)key.p, u->lex.line);
    }
    if (*value) return env_parse(u, &ref, value, n, level);
    n->kind = CONF_STR;
    n->str = span_of(key.p + key.n, 0);
    return true;
}

static bool variable(struct unit *u, const struct scope *sc, struct span name, struct conf_node *n,
                     uint32_t level) {
    if (span_starts(name, SPAN_LIT("2a$"))) { /* a bcrypt hash, the dollar is its own */
        n->kind = CONF_STR;
        return text_copy(u, span_of(name.p - 1, name.n + 1), &n->str);
    }
    for (; sc; sc = sc->up) {
        struct conf_node *found = find_exact(sc->map, name);
        if (!found) continue;
        found->used = true;
        return value_share(u, n, found, level);
    }
    return env_value(u, name, n, level);
}

/* --- structure --- */

static bool value(struct unit *u, const struct scope *sc, struct conf_node *n, uint32_t level);

static bool scalar(struct unit *u, const struct scope *sc, struct conf_node *n, uint32_t level) {
    struct scalar s;
    if (!lex_scalar(&u->lex, &s)) return false;
    if (s.variable) return variable(u, sc, s.raw, n, level);
    n->kind = s.kind;
    if (!text_copy(u, s.raw, &n->str)) return false;
    if (s.escaped) {
        uint8_t *p = (uint8_t *)(uintptr_t)n->str.p;
        n->str.n = lex_unescape(s.raw, p);
        p[n->str.n] = 0;
    }
    return scalar_value(n, u->job->e);
}

/* What the cursor is at, for sentences. */
static const char *here(struct unit *u, char room[16]) {
    int c = lex_peek(&u->lex);
    if (c == 0) return "end of file";
    snprintf(room, 16, c < ' ' || c > '~' ? "'\\x%02x'" : "'%c'", c);
    return room;
}

/* Behind a value inside brackets: a separator or a line end is taken, the closing bracket is left. */
static bool separator(struct unit *u, bool map) {
    char room[16];
    lex_comment(&u->lex);
    int c = lex_peek(&u->lex);
    if (c == '\n' || c == '\r' || c == ',' || (map && c == ';')) {
        lex_skip(&u->lex, 1);
        return true;
    }
    if (c == (map ? '}' : ']')) return true;
    return map ? lex_fail(&u->lex,
                          "Expected a map value terminator ',' or a map terminator '}', but got %s instead.",
                          here(u, room))
               : lex_fail(
                     &u->lex,
                     "Expected an array value terminator ',' or an array terminator ']', but got %s instead.",
                     here(u, room));
}

static bool array(struct unit *u, const struct scope *sc, struct conf_node *n, uint32_t level) {
    must(lex_peek(&u->lex) == '[');
    n->kind = CONF_ARRAY;
    for (lex_skip(&u->lex, 1);;) {
        lex_between(&u->lex);
        int c = lex_peek(&u->lex);
        if (c == ']') break;
        if (c == 0) return lex_fail(&u->lex, "Unexpected end of file processing array.");
        if (c == ',') return lex_fail(&u->lex, "Unexpected array value terminator ','.");
        struct conf_node *item = node_new(u);
        if (!item || !value(u, sc, item, level + 1)) return false;
        append(n, item);
        if (!separator(u, false)) return false;
    }
    lex_skip(&u->lex, 1);
    return true;
}

static bool pair(struct unit *u, const struct scope *sc, bool map);

static bool map_value(struct unit *u, const struct scope *up, struct conf_node *n, uint32_t level) {
    must(lex_peek(&u->lex) == '{');
    n->kind = CONF_MAP;
    struct scope sc = {n, up, level};
    for (lex_skip(&u->lex, 1);;) {
        lex_between(&u->lex);
        int c = lex_peek(&u->lex);
        if (c == '}') break;
        if (c == 0) return lex_fail(&u->lex, "Unexpected end of file processing map.");
        if (!pair(u, &sc, true) || !separator(u, true)) return false;
    }
    lex_skip(&u->lex, 1);
    return true;
}

static bool value(struct unit *u, const struct scope *sc, struct conf_node *n, uint32_t level) {
    if (level > CONF_DEPTH_MAX) return lex_fail(&u->lex, "nested too deep");
    int c = lex_peek(&u->lex);
    must(sc != NULL);
    return c == '['   ? array(u, sc, n, level)
           : c == '{' ? map_value(u, sc, n, level)
                      : scalar(u, sc, n, level);
}

/* The path as seen from the file that includes it. */
static bool path_of(struct unit *u, struct span path, struct span *out) {
    const char *slash = strrchr(u->lex.file, '/');
    size_t dir = path.p[0] == '/' || !slash ? 0 : (size_t)(slash - u->lex.file) + 1;
    uint8_t *p = take(u->job, dir + path.n + 1);
    if (!p) return no_memory(u);
    memcpy(p, u->lex.file, dir);
    memcpy(p + dir, path.p, path.n);
    p[dir + path.n] = 0;
    *out = span_of(p, dir + path.n);
    return true;
}

static bool file_parse(struct unit *u, struct conf_node *root, struct span text, const char *path,
                       uint32_t level) {
    struct job *j = u->job;
    must(path != NULL);
    if (text.n > CONF_BYTES_MAX - j->bytes) return lex_fail(&u->lex, "configuration is too large");
    j->bytes += text.n;
    return lex_init(&u->lex, text, path, j->e) && top(u, root, level);
}

static bool include(struct unit *u, const struct scope *sc) {
    struct span word, path = SPAN_EMPTY, text = SPAN_EMPTY;
    if (!lex_include(&u->lex, &word)) return false;
    if (word.n == 0) return lex_fail(&u->lex, "Expected include value");
    if (u->files >= CONF_INCLUDE_MAX) return lex_fail(&u->lex, "included files nest too deep");
    if (!path_of(u, word, &path)) return false;
    const char *name = (const char *)path.p, *why = u->job->src->read(u->job->src->ctx, name, &text);
    if (why) return lex_fail(&u->lex, "error parsing include file '%s', %s", name, why);
    struct unit inner = {.job = u->job, .files = u->files + 1, .refs = u->refs, .lex = u->lex};
    struct conf_node root = {.kind = CONF_MAP, .weight = 1};
    if (!file_parse(&inner, &root, text, name, sc->level)) return false;
    for (struct conf_node *n = root.first, *next; n; n = next) {
        next = n->next;
        n->next = NULL;
        map_add(sc->map, n);
    }
    return true;
}

/* One key with its value, or an include. The cursor is at the key. */
static bool pair(struct unit *u, const struct scope *sc, bool map) {
    struct lex *x = &u->lex;
    struct span key;
    bool keyword, separated;
    struct conf_node *n = node_new(u);
    if (!n || !lex_key(x, &key, &keyword)) return false;
    if (keyword && key.n == 7 && strncasecmp((const char *)key.p, "include", 7) == 0) return include(u, sc);
    if (!text_copy(u, key, &n->key)) return false;
    must(sc->map->kind == CONF_MAP);
    lex_white(x);
    separated = lex_peek(x) == '=' || lex_peek(x) == ':';
    if (separated) lex_skip(x, 1);
    if (map)
        lex_white(x);
    else
        lex_blanks(x);
    if (lex_peek(x) == '\n' || lex_peek(x) == '\r') return lex_fail(x, "Expected value but found new line");
    if (!value(u, sc, n, sc->level + 1)) return false;
    map_add(sc->map, n);
    return true;
}

/* Behind a value at the top: a line end, a separator or the brace that may wrap the whole file. */
static bool top_end(struct unit *u, uint32_t *braces) {
    char room[16];
    lex_comment(&u->lex);
    int c = lex_peek(&u->lex);
    if (c == 0) return true;
    if (!strchr("\n\r;,}", c)) {
        return lex_fail(
            &u->lex, "Expected a top-level value to end with a new line, comment or EOF, but got %s instead.",
            here(u, room));
    }
    if (c == '}' && *braces) --*braces;
    lex_skip(&u->lex, 1);
    return true;
}

/* The cursor is at a brace where a key could stand. Matches nats-server here: a pair of them may wrap the
 * text, the closing one may be missing, or be too many at the very end. */
static bool top_brace(struct unit *u, uint32_t *braces) {
    bool open = lex_peek(&u->lex) == '{', stray = !open && !*braces;
    must(open || lex_peek(&u->lex) == '}');
    lex_skip(&u->lex, 1);
    if (open)
        ++*braces;
    else if (*braces)
        --*braces;
    if (!stray) return true;
    lex_between(&u->lex);
    return !lex_peek(&u->lex) || lex_fail(&u->lex, "Unexpected '}' before this");
}

/* A whole text. */
static bool top(struct unit *u, struct conf_node *root, uint32_t level) {
    struct scope sc = {root, NULL, level};
    uint32_t braces = 0;
    must(root->kind == CONF_MAP);
    for (;;) {
        lex_between(&u->lex);
        int c = lex_peek(&u->lex);
        if (c == 0) return true;
        bool brace = c == '{' || c == '}';
        if (brace ? !top_brace(u, &braces) : !pair(u, &sc, false) || !top_end(u, &braces)) return false;
    }
}

bool conf_parse(struct conf *c, const char *path, const struct conf_source *src, struct conf_error *e) {
    must(src != NULL && src->read != NULL);
    *c = (struct conf){0};
    *e = (struct conf_error){0};
    struct job j = {.c = c, .src = src, .e = e};
    struct unit u = {.job = &j, .files = 1, .lex = {.file = path, .e = e}};
    struct span name, text = SPAN_EMPTY;
    const char *why = src->read(src->ctx, path, &text);
    bool ok = text_copy(&u, span_str(path), &name);
    if (ok && why) ok = lex_fail(&u.lex, "error opening config file: %s", why);
    if (ok) u.lex.file = (const char *)name.p;
    c->root = ok ? node_new(&u) : NULL;
    if (c->root) {
        c->root->kind = CONF_MAP;
        c->root->line = c->root->col = 0;
    }
    ok = c->root && file_parse(&u, c->root, text, (const char *)name.p, 0);
    if (!ok) conf_deinit(c);
    return ok;
}
