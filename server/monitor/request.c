/* request.c - see request.h. A request is whole at the end of its (ignored) body; llhttp pauses there, so
 * that pipelined bytes stay with the caller. Refused are: what llhttp calls malformed (400), HTTP/1.1 without
 * one Host (400), other major versions (505), methods but GET and HEAD (405), more bytes than the bound
 * (431). */
#include "monitor/request.h"

#include <string.h>

#include "base/must.h"

static struct request *request_of(llhttp_t *p) {
    must(p->data != NULL);
    return p->data;
}

static int refuse(struct request *r, int status, const char *reason) {
    must(status >= 400 && r->status == 0);
    r->status = status;
    r->reason = reason;
    return HPE_USER;
}

static int on_url(llhttp_t *p, const char *at, size_t n) {
    struct request *r = request_of(p);
    must(n <= sizeof r->url - r->url_n); /* bounded by bytes */
    memcpy(r->url + r->url_n, at, n);
    r->url_n += n;
    return 0;
}

static int on_field(llhttp_t *p, const char *at, size_t n) {
    struct request *r = request_of(p);
    for (size_t i = 0; i < n; i++, r->field_n++) {
        if (r->field_n < sizeof r->field) r->field[r->field_n] = (char)(at[i] | 0x20);
    }
    return 0;
}

static int on_field_complete(llhttp_t *p) {
    struct request *r = request_of(p);
    must(r->field_n > 0);
    if (span_eq(span_of(r->field, r->field_n < 8 ? r->field_n : 8), SPAN_LIT("host"))) r->hosts++;
    r->field_n = 0;
    return 0;
}

static int on_headers(llhttp_t *p) {
    struct request *r = request_of(p);
    must(!r->whole);
    if (p->http_major != 1) return refuse(r, 505, ": unsupported protocol version");
    r->is_1_0 = p->http_minor == 0;
    if (r->hosts == 0 && !r->is_1_0) return refuse(r, 400, ": missing required Host header");
    if (r->hosts > 1) return refuse(r, 400, ": too many Host headers");
    r->head = p->method == HTTP_HEAD;
    if (p->method != HTTP_GET && !r->head) return refuse(r, 405, "");
    return 0;
}

static int on_whole(llhttp_t *p) {
    struct request *r = request_of(p);
    r->whole = true;
    r->keep_alive = llhttp_should_keep_alive(p);
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {.on_url = on_url,
                                           .on_header_field = on_field,
                                           .on_header_field_complete = on_field_complete,
                                           .on_headers_complete = on_headers,
                                           .on_message_complete = on_whole};

void request_init(struct request *r) {
    memset(r, 0, offsetof(struct request, url));
    llhttp_init(&r->parser, HTTP_REQUEST, &settings);
    r->parser.data = r;
    r->reason = "";
    must(!r->whole && r->status == 0);
}

size_t request_feed(struct request *r, struct span bytes) {
    must(!r->whole && r->status == 0);
    must(r->bytes <= REQUEST_BYTES_MAX);
    size_t room = REQUEST_BYTES_MAX - r->bytes, n = bytes.n < room ? bytes.n : room;
    if (bytes.n == 0) return 0;
    if (n == 0) {
        refuse(r, 431, "");
        return 0;
    }
    llhttp_errno_t e = llhttp_execute(&r->parser, (const char *)bytes.p, n);
    if (r->whole) {
        must(e == HPE_PAUSED);
        n = (size_t)(llhttp_get_error_pos(&r->parser) - (const char *)bytes.p);
    } else if (e != HPE_OK && r->status == 0) {
        refuse(r, 400, "");
    }
    r->bytes += n;
    must(r->bytes <= REQUEST_BYTES_MAX);
    return n;
}

/* GET http://host/path is as good as GET /path. */
static struct span without_host(struct span url) {
    const uint8_t *at = url.n ? memmem(url.p, url.n, "://", 3) : NULL;
    if (!at || url.p[0] == '/') return url;
    struct span rest = span_skip(url, (size_t)(at - url.p) + 3);
    at = rest.n ? memchr(rest.p, '/', rest.n) : NULL;
    return at ? span_skip(rest, (size_t)(at - rest.p)) : SPAN_LIT("/");
}

void request_target(const struct request *r, struct span *path, struct span *query) {
    must(r->whole);
    struct span url = without_host(span_of(r->url, r->url_n));
    const uint8_t *end = url.n ? memchr(url.p, '#', url.n) : NULL;
    if (end) url.n = (size_t)(end - url.p);
    const uint8_t *mark = url.n ? memchr(url.p, '?', url.n) : NULL;
    *path = mark ? span_of(url.p, (size_t)(mark - url.p)) : url;
    *query = mark ? span_skip(url, path->n + 1) : SPAN_EMPTY;
}

const char *request_status_text(int status) {
    switch (status) {
    case 200: return "OK";
    case 400: return "Bad Request";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 503: return "Service Unavailable";
    case 505: return "HTTP Version Not Supported";
    default: break;
    }
    must(false);
    return "";
}
