/* test_gotime.c - times and durations against what Go 1.26 printed and read for the same texts. */
#include "wire/gotime.h"

#include <time.h>

#include "base/rng.h"
#include "lib/check.h"

static void durations_printed(void) {
    static const struct {
        int64_t ns;
        const char *text;
    } rows[] = {
        {0, "0s"},
        {1, "1ns"},
        {999, "999ns"},
        {1000, "1\xc2\xb5"
               "s"},
        {1001, "1.001\xc2\xb5"
               "s"},
        {1500, "1.5\xc2\xb5"
               "s"},
        {999999, "999.999\xc2\xb5"
                 "s"},
        {1000000, "1ms"},
        {1000001, "1.000001ms"},
        {1500000, "1.5ms"},
        {999999999, "999.999999ms"},
        {1000000000, "1s"},
        {1100000000, "1.1s"},
        {59999999999, "59.999999999s"},
        {60000000000, "1m0s"},
        {61500000000, "1m1.5s"},
        {3599999999999, "59m59.999999999s"},
        {3600000000000, "1h0m0s"},
        {3661000000001, "1h1m1.000000001s"},
        {90000000000000, "25h0m0s"},
        {9223372036854775807, "2562047h47m16.854775807s"},
        {-1, "-1ns"},
        {-1500000000, "-1.5s"},
        {INT64_MIN, "-2562047h47m16.854775808s"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char out[GODURATION_TEXT_MAX];
        CHECK_MEM(out, goduration_put(out, rows[i].ns), rows[i].text, strlen(rows[i].text));
        int64_t back;
        CHECK(goduration_get(span_str(rows[i].text), &back));
        CHECK_EQ(back, rows[i].ns);
    }
}

static void durations_read(void) {
    static const struct {
        const char *text;
        bool ok;
        int64_t ns;
    } rows[] = {
        {"0", 1, 0},
        {"+0", 1, 0},
        {"-0", 1, 0},
        {"1s", 1, 1000000000},
        {"1.5h", 1, 5400000000000},
        {"1h2m3.5s", 1, 3723500000000},
        {"100ms", 1, 100000000},
        {"1us", 1, 1000},
        {"1\xc2\xb5"
         "s",
         1, 1000},
        {"1\xce\xbc"
         "s",
         1, 1000},
        {"5ns", 1, 5},
        {".5s", 1, 500000000},
        {"1.s", 1, 1000000000},
        {"-1.5h", 1, -5400000000000},
        {"+3m", 1, 180000000000},
        {"1h1h", 1, 7200000000000},
        {"2562047h47m16.854775807s", 1, 9223372036854775807},
        {"2562047h47m16.854775808s", 0, 0},
        {"-2562047h47m16.854775808s", 1, INT64_MIN},
        {"9223372036854775807ns", 1, 9223372036854775807},
        {"9223372036854775808ns", 0, 0},
        {"-9223372036854775808ns", 1, INT64_MIN},
        {"1", 0, 0},
        {"", 0, 0},
        {"-", 0, 0},
        {"s", 0, 0},
        {".s", 0, 0},
        {"1d", 0, 0},
        {"1 s", 0, 0},
        {" 1s", 0, 0},
        {"1s ", 0, 0},
        {"1e3s", 0, 0},
        {"0.000000000000000000000001s", 1, 0},
        {"0.9223372036854775807s", 1, 922337203},
        {"1.00000000000000000000000000000000001h", 1, 3600000000000},
        {"3000000h", 0, 0},
        {"1m-1s", 0, 0},
        {"99999999999999999999s", 0, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int64_t ns = 0;
        if (goduration_get(span_str(rows[i].text), &ns) != rows[i].ok)
            fprintf(stderr, "\"%s\"\n", rows[i].text);
        CHECK_EQ(goduration_get(span_str(rows[i].text), &ns), rows[i].ok);
        if (rows[i].ok) CHECK_EQ(ns, rows[i].ns);
    }
}

static void durations_come_back(void) {
    struct rng r = {6};
    for (int i = 0; i < 100000; i++) {
        int64_t ns = (int64_t)(rng_next(&r) >> rng_below(&r, 64)), back;
        char out[GODURATION_TEXT_MAX];
        if (rng_below(&r, 2)) ns /= 1000000000, ns *= 1000000000;
        CHECK(goduration_get(span_of(out, goduration_put(out, ns)), &back));
        CHECK_EQ(back, ns);
    }
}

static void times_read(void) {
    static const struct {
        const char *text;
        bool ok;
        int64_t ns;
        const char *utc;
    } rows[] = {
        {"2024-01-02T03:04:05Z", 1, 1704164645000000000, "2024-01-02T03:04:05Z"},
        {"2024-01-02T03:04:05.123Z", 1, 1704164645123000000, "2024-01-02T03:04:05.123Z"},
        {"2024-02-29T23:59:59.999999999Z", 1, 1709251199999999999, "2024-02-29T23:59:59.999999999Z"},
        {"2023-02-29T00:00:00Z", 0, 0, ""},
        {"2024-01-02T03:04:05+02:30", 1, 1704155645000000000, "2024-01-02T00:34:05Z"},
        {"2024-01-02T03:04:05-00:01", 1, 1704164705000000000, "2024-01-02T03:05:05Z"},
        {"1970-01-01T00:00:00Z", 1, 0, "1970-01-01T00:00:00Z"},
        {"1969-12-31T23:59:59.5Z", 1, -500000000, "1969-12-31T23:59:59.5Z"},
        {"1678-01-01T00:00:00Z", 1, -9214560000000000000, "1678-01-01T00:00:00Z"},
        {"2262-04-11T23:47:16.854775807Z", 1, 9223372036854775807, "2262-04-11T23:47:16.854775807Z"},
        {"0001-01-01T00:00:00Z", 1, GOTIME_ZERO, "0001-01-01T00:00:00Z"},
        {"2024-13-01T00:00:00Z", 0, 0, ""},
        {"2024-00-01T00:00:00Z", 0, 0, ""},
        {"2024-01-32T00:00:00Z", 0, 0, ""},
        {"2024-04-31T00:00:00Z", 0, 0, ""},
        {"2024-01-01T24:00:00Z", 0, 0, ""},
        {"2024-01-01T23:60:00Z", 0, 0, ""},
        {"2024-01-01T23:59:60Z", 0, 0, ""},
        {"2024-01-01", 0, 0, ""},
        {"2024-01-01T00:00:00", 0, 0, ""},
        {"2024-01-01t00:00:00Z", 0, 0, ""},
        {"2024-01-01T00:00:00z", 0, 0, ""},
        {"2024-01-01 00:00:00Z", 0, 0, ""},
        {"2024-01-01T00:00:00.Z", 0, 0, ""},
        {"2024-01-01T00:00:00.1234567891Z", 1, 1704067200123456789, "2024-01-01T00:00:00.123456789Z"},
        {"2024-01-01T00:00:00+24:00", 1, 1703980800000000000, "2023-12-31T00:00:00Z"},
        {"2024-01-01T00:00:00+2:00", 0, 0, ""},
        {"2024-1-01T00:00:00Z", 0, 0, ""},
        {"24-01-01T00:00:00Z", 0, 0, ""},
        {"2100-02-29T00:00:00Z", 0, 0, ""},
        {"2000-02-29T00:00:00Z", 1, 951782400000000000, "2000-02-29T00:00:00Z"},
        {"2024-01-01T00:00:00,5Z", 1, 1704067200500000000, "2024-01-01T00:00:00.5Z"},
        {"", 0, 0, ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int64_t ns = 0;
        char out[GOTIME_TEXT_MAX];
        if (gotime_get(span_str(rows[i].text), &ns) != rows[i].ok) fprintf(stderr, "\"%s\"\n", rows[i].text);
        CHECK_EQ(gotime_get(span_str(rows[i].text), &ns), rows[i].ok);
        if (!rows[i].ok) continue;
        CHECK_EQ(ns, rows[i].ns);
        CHECK_MEM(out, gotime_put(out, ns), rows[i].utc, strlen(rows[i].utc));
    }
}

static void times_out_of_range(void) {
    static const char *const texts[] = {"1677-01-01T00:00:00Z", "2263-01-01T00:00:00Z",
                                        "9999-12-31T23:59:59Z", "0000-01-01T00:00:00Z",
                                        "2262-04-11T23:47:16.854775808Z"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        int64_t ns;
        CHECK(!gotime_get(span_str(texts[i]), &ns));
    }
}

static void times_agree_with_libc(void) {
    struct rng r = {9};
    for (int i = 0; i < 100000; i++) {
        int64_t ns = (int64_t)rng_next(&r), s = ns / 1000000000 - (ns % 1000000000 < 0), back;
        if (ns == GOTIME_ZERO) continue;
        char out[GOTIME_TEXT_MAX + 1], want[32];
        struct tm tm;
        time_t t = (time_t)s;
        CHECK(gmtime_r(&t, &tm) != NULL);
        strftime(want, sizeof want, "%Y-%m-%dT%H:%M:%S", &tm);
        size_t n = gotime_put(out, ns);
        CHECK(n >= 20 && n <= GOTIME_TEXT_MAX);
        CHECK(memcmp(out, want, 19) == 0);
        CHECK(gotime_get(span_of(out, n), &back));
        CHECK_EQ(back, ns);
    }
}

static void spoilt_texts(void) {
    struct rng r = {10};
    for (int i = 0; i < 200000; i++) {
        char text[] = "2024-02-29T23:59:59.25+01:30", dur[] = "-1h2m3.25s500ms", out[GOTIME_TEXT_MAX];
        text[rng_below(&r, sizeof text - 1)] = "0:9-TZ.+"[rng_below(&r, 8)];
        dur[rng_below(&r, sizeof dur - 1)] = "0.9-hms\xc2"[rng_below(&r, 8)];
        int64_t ns, back;
        if (gotime_get(span_of(text, rng_below(&r, sizeof text)), &ns)) {
            CHECK(gotime_get(span_of(out, gotime_put(out, ns)), &back));
            CHECK_EQ(ns, back);
        }
        (void)goduration_get(span_of(dur, rng_below(&r, sizeof dur)), &ns);
    }
}

CHECK_MAIN(CASE(durations_printed), CASE(durations_read), CASE(durations_come_back), CASE(times_read),
           CASE(times_out_of_range), CASE(times_agree_with_libc), CASE(spoilt_texts))
