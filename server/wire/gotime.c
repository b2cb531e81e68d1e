/* gotime.c - times and durations in Go's texts. Happy path: integer arithmetic on the proleptic Gregorian
 * calendar, no locale, no time zone data. Reading says no to whatever Go refuses, and to times 64 bits of
 * nanoseconds cannot hold. */
#include "wire/gotime.h"

#include <string.h>

#include "base/bytes.h"
#include "base/must.h"

#define SECOND    INT64_C(1000000000)
#define ZERO_TEXT "0001-01-01T00:00:00Z"

/* Days since 1970-01-01 of a civil date, and back: eras of 400 years, years from March. */
static int64_t days_of(int64_t y, int64_t m, int64_t d) {
    must(m >= 1 && m <= 12);
    y -= m <= 2;
    int64_t era = (y >= 0 ? y : y - 399) / 400, yoe = y - era * 400;
    int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static void civil_of(int64_t days, int64_t *y, int64_t *m, int64_t *d) {
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097, doe = days - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    *d = doy - (153 * mp + 2) / 5 + 1;
    *m = mp + (mp < 10 ? 3 : -9);
    *y = yoe + era * 400 + (*m <= 2);
    must(*m >= 1 && *m <= 12);
}

static char *put_padded(char *at, uint64_t v, int width) {
    for (int i = width; i-- > 0; v /= 10) at[i] = (char)('0' + v % 10);
    must(v == 0);
    return at + width;
}

/* ".123", without trailing zeros; nothing for 0. */
static char *put_fraction(char *at, uint64_t v, int width) {
    must(width >= 0 && width <= 9);
    if (v == 0) return at;
    for (; v % 10 == 0; v /= 10) width--;
    *at = '.';
    return put_padded(at + 1, v, width);
}

size_t gotime_put(char *out, int64_t unix_ns) {
    if (unix_ns == GOTIME_ZERO) {
        memcpy(out, ZERO_TEXT, sizeof ZERO_TEXT - 1);
        return sizeof ZERO_TEXT - 1;
    }
    int64_t s = unix_ns / SECOND, ns = unix_ns % SECOND, y, m, d;
    if (ns < 0) s--, ns += SECOND;
    int64_t day = s / 86400, in_day = s % 86400;
    if (in_day < 0) day--, in_day += 86400;
    civil_of(day, &y, &m, &d);
    const int64_t parts[] = {m, d, in_day / 3600, in_day / 60 % 60, in_day % 60};
    char *at = put_padded(out, (uint64_t)y, 4);
    for (size_t i = 0; i < 5; i++) {
        *at++ = "--T::"[i];
        at = put_padded(at, (uint64_t)parts[i], 2);
    }
    at = put_fraction(at, (uint64_t)ns, 9);
    *at++ = 'Z';
    must(at - out <= GOTIME_TEXT_MAX);
    return (size_t)(at - out);
}

/* A reader that only goes forward; once something is not there, ok falls and stays down. */
struct reader {
    struct span rest;
    bool ok;
};

static int64_t take_digits(struct reader *r, size_t width) {
    uint64_t v = 0;
    r->ok = r->ok && r->rest.n >= width && get_u64(span_of(r->rest.p, width), &v);
    if (r->ok) r->rest = span_skip(r->rest, width);
    return (int64_t)v;
}

static bool take_if(struct reader *r, char c) {
    if (!r->ok || !r->rest.n || r->rest.p[0] != (uint8_t)c) return false;
    r->rest = span_skip(r->rest, 1);
    return true;
}

static void take(struct reader *r, char c) { r->ok = take_if(r, c); }

/* Behind the point: nanoseconds, further digits cut; at least one digit. */
static int64_t take_fraction(struct reader *r) {
    int64_t v = 0, scale = SECOND;
    size_t n = 0;
    for (; n < r->rest.n && r->rest.p[n] >= '0' && r->rest.p[n] <= '9'; n++) {
        scale /= 10;
        v += (r->rest.p[n] - '0') * scale;
    }
    r->ok = r->ok && n > 0;
    r->rest = span_skip(r->rest, n);
    must(v < SECOND);
    return v;
}

/* "Z" or "+02:30": seconds to subtract. */
static int64_t take_offset(struct reader *r) {
    if (take_if(r, 'Z')) return 0;
    bool minus = take_if(r, '-');
    if (!minus) take(r, '+');
    int64_t h = take_digits(r, 2);
    take(r, ':');
    int64_t m = take_digits(r, 2);
    r->ok = r->ok && h <= 24 && m < 60;
    return (minus ? -1 : 1) * (h * 3600 + m * 60);
}

static int64_t month_days(int64_t y, int64_t m) {
    must(m >= 1 && m <= 12);
    bool leap = y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
    return m == 2 ? 28 + leap : m == 4 || m == 6 || m == 9 || m == 11 ? 30 : 31;
}

bool gotime_get(struct span s, int64_t *unix_ns) {
    must(unix_ns != NULL);
    if (span_eq(s, SPAN_LIT(ZERO_TEXT))) {
        *unix_ns = GOTIME_ZERO;
        return true;
    }
    struct reader r = {s, true};
    int64_t v[6]; /* year, month, day, hour, minute, second */
    for (int i = 0; i < 6; i++) {
        if (i) take(&r, "x--T::"[i]);
        v[i] = take_digits(&r, i ? 2 : 4);
    }
    int64_t ns = take_if(&r, '.') || take_if(&r, ',') ? take_fraction(&r) : 0;
    int64_t offset = take_offset(&r);
    if (!r.ok || r.rest.n || v[1] < 1 || v[1] > 12 || v[3] > 23 || v[4] > 59 || v[5] > 59) return false;
    if (v[2] < 1 || v[2] > month_days(v[0], v[1])) return false;
    int64_t seconds = days_of(v[0], v[1], v[2]) * 86400 + v[3] * 3600 + v[4] * 60 + v[5] - offset;
    return !__builtin_mul_overflow(seconds, SECOND, unix_ns) &&
           !__builtin_add_overflow(*unix_ns, ns, unix_ns);
}

/* Below a second: one unit with a fraction. */
static char *put_small(char *at, uint64_t ns) {
    static const struct {
        uint64_t unit;
        int width;
        const char *text;
    } units[] = {{1000000, 6, "ms"}, {1000, 3, "\xc2\xb5s"}, {1, 0, "ns"}};
    int i = ns >= 1000000 ? 0 : ns >= 1000 ? 1 : 2;
    must(ns > 0 && ns < (uint64_t)SECOND);
    at += put_u64((uint8_t *)at, ns / units[i].unit);
    at = put_fraction(at, ns % units[i].unit, units[i].width);
    size_t n = strlen(units[i].text);
    memcpy(at, units[i].text, n);
    return at + n;
}

size_t goduration_put(char *out, int64_t ns) {
    char *at = out;
    uint64_t v = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns, second = (uint64_t)SECOND;
    if (ns < 0) *at++ = '-';
    if (v > 0 && v < second) return (size_t)(put_small(at, v) - out);
    uint64_t s = v / second;
    if (s >= 3600) {
        at += put_u64((uint8_t *)at, s / 3600);
        *at++ = 'h';
    }
    if (s >= 60) {
        at += put_u64((uint8_t *)at, s / 60 % 60);
        *at++ = 'm';
    }
    at += put_u64((uint8_t *)at, s % 60);
    at = put_fraction(at, v % second, 9);
    *at++ = 's';
    must(at - out <= GODURATION_TEXT_MAX);
    return (size_t)(at - out);
}

/* Longest first where one begins another. */
static bool take_unit(struct reader *r, uint64_t *unit) {
    must(unit != NULL);
    static const struct {
        const char *text;
        uint64_t ns;
    } units[] = {{"ns", 1},       {"us", 1000},      {"\xc2\xb5s", 1000}, {"\xce\xbcs", 1000},
                 {"ms", 1000000}, {"s", 1000000000}, {"m", 60000000000},  {"h", 3600000000000}};
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (!span_starts(r->rest, span_str(units[i].text))) continue;
        r->rest = span_skip(r->rest, strlen(units[i].text));
        *unit = units[i].ns;
        return true;
    }
    return false;
}

/* "1.5h": a number with an optional fraction, then its unit. What it is worth is added to total. */
static bool take_term(struct reader *r, uint64_t *total) {
    uint64_t whole = 0, part = 0, unit, v;
    double scale = 1;
    size_t i = 0, digits = 0;
    for (; i < r->rest.n && r->rest.p[i] >= '0' && r->rest.p[i] <= '9'; i++, digits++) {
        if (whole > INT64_MAX / 10) return false;
        whole = whole * 10 + (uint64_t)(r->rest.p[i] - '0');
    }
    if (i < r->rest.n && r->rest.p[i] == '.') {
        for (i++; i < r->rest.n && r->rest.p[i] >= '0' && r->rest.p[i] <= '9'; i++, digits++) {
            if (part > (INT64_MAX - 9) / 10) continue; /* further digits are below a nanosecond */
            part = part * 10 + (uint64_t)(r->rest.p[i] - '0');
            scale *= 10;
        }
    }
    r->rest = span_skip(r->rest, i);
    if (!digits || !take_unit(r, &unit) || __builtin_mul_overflow(whole, unit, &v)) return false;
    if (v > (uint64_t)INT64_MAX + 1) return false;
    v += (uint64_t)((double)part * ((double)unit / scale));
    return !__builtin_add_overflow(*total, v, total) && *total <= (uint64_t)INT64_MAX + 1;
}

bool goduration_get(struct span s, int64_t *ns) {
    must(ns != NULL);
    struct reader r = {s, true};
    bool minus = take_if(&r, '-');
    if (!minus) take_if(&r, '+');
    uint64_t total = 0;
    if (r.rest.n == 0) return false;
    if (!span_eq(r.rest, SPAN_LIT("0"))) {
        while (r.rest.n) {
            if (!take_term(&r, &total)) return false;
        }
    }
    if (!minus && total > INT64_MAX) return false;
    *ns = (int64_t)(minus ? 0 - total : total);
    return true;
}
