/* test_bench_report.c - what the benchmark writes: JSON that parses and reads back, CSV with as many fields
 * in each line, a page that needs nothing from outside, texts; and that void rounds give no figures anywhere.
 */
#include <math.h>
#include <yyjson.h>

#include "lib/check.h"
#include "report/load.h"
#include "report/progress.h"

static char path[64];

static struct round *add_round(struct row *row, size_t server, double cpu, double rate) {
    struct round *round = report_round(row, server);
    round->figures[FIG_CPU] = cpu;
    round->figures[FIG_RATE] = rate;
    round->figures[FIG_P99] = rate / 100;
    return round;
}

static void add_latency(struct row *row, size_t server) {
    static struct hist h;
    struct series s;
    hist_init(&h);
    series_init(&s, 0, 1000000);
    for (uint64_t i = 1; i <= 5000; i++) {
        hist_add(&h, i * 997);
        hist_add(series_at(&s, i * 10000), i * 997);
    }
    report_latency(row, server, &h, &s);
    series_deinit(&s);
}

/* Two servers, two rows, three rounds; names with everything that needs quoting. */
static struct report *sample(void) {
    struct report *r = report_open();
    snprintf(r->version, sizeof r->version, "1.2.3");
    snprintf(r->command, sizeof r->command, "millrace-bench throughput --x \"<&>\"");
    snprintf(r->machine.cpu, sizeof r->machine.cpu, "A <fast> & \"good\" one");
    snprintf(r->machine.started, sizeof r->machine.started, "2026-01-02");
    r->machine.cores = 2;
    r->flush_known = true;
    r->flush_p50_us = 100;
    r->servers_n = 2;
    snprintf(r->servers[0].label, sizeof r->servers[0].label, "one, \"1\"");
    snprintf(r->servers[1].label, sizeof r->servers[1].label, "two<script>");
    for (int i = 0; i < 2; i++) {
        struct row *row = report_row(r, i ? "b" : "a", "throughput", "work, with \"commas\" & <tags>", "");
        for (int k = 0; k < 3; k++) {
            add_round(row, 0, 10 + k, 1000 + k);
            add_round(row, 1, 2 + k * 0.1, 5000 + k);
        }
        add_latency(row, 0);
        add_latency(row, 1);
    }
    return r;
}

static char *slurp(void) {
    FILE *f = fopen(path, "r");
    CHECK(f);
    static char text[1 << 20];
    size_t n = fread(text, 1, sizeof text - 1, f);
    CHECK(n > 0 && n < sizeof text - 1);
    text[n] = 0;
    fclose(f);
    unlink(path);
    return text;
}

static void make_path(void) { snprintf(path, sizeof path, "/tmp/test_bench_report.%d", (int)getpid()); }

static void json_parses_and_holds_everything(void) {
    struct report *r = sample();
    make_path();
    CHECK(report_json(r, path));
    char *text = slurp();
    yyjson_doc *doc = yyjson_read(text, strlen(text), 0);
    CHECK(doc);
    yyjson_val *root = yyjson_doc_get_root(doc), *rows = yyjson_obj_get(root, "rows");
    CHECK(yyjson_get_bool(yyjson_obj_get(root, "valid")));
    CHECK_EQ(yyjson_arr_size(rows), 2);
    yyjson_val *cells = yyjson_obj_get(yyjson_arr_get(rows, 0), "servers"), *cell = yyjson_arr_get(cells, 0);
    CHECK_STR(yyjson_get_str(yyjson_obj_get(cell, "label")), "one, \"1\"");
    CHECK_EQ(yyjson_arr_size(yyjson_obj_get(cell, "rounds")), 3);
    CHECK(yyjson_get_real(yyjson_ptr_get(cell, "/summary/cpu_us/median")) == 11);
    CHECK(!yyjson_ptr_get(cell, "/summary/p50_us"));
    uint64_t count = 0;
    size_t i, max;
    yyjson_val *h;
    yyjson_arr_foreach(yyjson_ptr_get(cell, "/latency_ns/cells"), i, max, h) count +=
        yyjson_get_uint(yyjson_arr_get(h, 2));
    CHECK_EQ(count, 5000);
    CHECK(yyjson_arr_size(yyjson_obj_get(cell, "over_time")) > 10);
    bool cpu = false;
    yyjson_arr_foreach(yyjson_obj_get(yyjson_arr_get(rows, 0), "comparisons"), i, max, h) {
        if (strcmp(yyjson_get_str(yyjson_obj_get(h, "figure")), "cpu_us") != 0) continue;
        cpu = true;
        CHECK_STR(yyjson_get_str(yyjson_obj_get(h, "verdict")), "lower");
    }
    CHECK(cpu);
    yyjson_doc_free(doc);
    report_close(r);
}

static void json_reads_back(void) {
    struct report *r = sample();
    char why[300];
    make_path();
    add_round(&r->rows[1], 1, NAN, NAN)->valid = false;
    snprintf(r->rows[1].cells[1].rounds[3].why, 100, "lost one");
    CHECK(report_json(r, path));
    struct report *b = report_load(path, why, sizeof why);
    CHECK(b);
    CHECK_EQ(b->rows_n, 2);
    CHECK_EQ(b->servers_n, 2);
    CHECK(cell_summary(&b->rows[0].cells[1], FIG_CPU).median ==
          cell_summary(&r->rows[0].cells[1], FIG_CPU).median);
    CHECK(isnan(b->rows[0].cells[0].rounds[0].figures[FIG_P50]));
    CHECK(report_void(b) && !cell_void(&b->rows[0].cells[0], NULL));
    CHECK_STR(b->rows[1].cells[1].rounds[3].why, "lost one");
    CHECK(b->flush_p50_us == 100);
    report_close(b);
    report_close(r);
    unlink(path);
    CHECK(!report_load(path, why, sizeof why) && strstr(why, path));
    FILE *f = fopen(path, "w");
    fputs("{\"tool\":\"another\"}", f);
    fclose(f);
    CHECK(!report_load(path, why, sizeof why));
    unlink(path);
}

/* Row a is the little of it, row b the much. */
static struct growth *add_growth(struct report *r) {
    struct growth *g = report_growth(r, "things", "<things>", 1, 1000000);
    g->small = &r->rows[0];
    g->large = &r->rows[1];
    g->judged = g->figures[0] = FIG_CPU;
    g->figures[1] = FIG_RATE;
    g->figures_n = 2;
    return g;
}

static void growth_is_judged(void) {
    char text[40];
    struct report *r = sample();
    struct growth *g = add_growth(r);
    for (int k = 0; k < 3; k++) r->rows[1].cells[0].rounds[k].figures[FIG_CPU] = 13.5;
    CHECK_STR(growth_verdict(g, 0, text, sizeof text), "flat");
    for (int k = 0; k < 3; k++) r->rows[1].cells[0].rounds[k].figures[FIG_CPU] = 22;
    CHECK(growth_factor(g, 0, FIG_CPU) == 2 && growth_factor(g, 0, FIG_RATE) == 1);
    CHECK_STR(growth_verdict(g, 0, text, sizeof text), "grows 2.00x");
    CHECK(isnan(growth_factor(g, 0, FIG_P50)));
    g->judged = FIG_P50;
    CHECK_STR(growth_verdict(g, 0, text, sizeof text), "not measured");
    r->rows[1].cells[0].rounds[1].valid = false;
    CHECK_STR(growth_verdict(g, 0, text, sizeof text), "void");
    CHECK(isnan(growth_factor(g, 0, FIG_CPU)));
    while (r->growths_n < GROWTHS_MAX) CHECK(report_growth(r, "x", "y", 0, 1));
    CHECK(!report_growth(r, "x", "y", 0, 1));
    r->growths_n = 0;
    report_close(r);
    CHECK_STR(count_text(1, text, sizeof text), "1");
    CHECK_STR(count_text(1000000, text, sizeof text), "1,000,000");
}

static void growth_is_written(void) {
    struct report *r = sample();
    add_growth(r);
    make_path();
    CHECK(report_json(r, path));
    char *text = slurp();
    yyjson_doc *doc = yyjson_read(text, strlen(text), 0);
    yyjson_val *g = yyjson_ptr_get(yyjson_doc_get_root(doc), "/growths/0");
    CHECK_STR(yyjson_get_str(yyjson_obj_get(g, "small")), "a");
    CHECK_STR(yyjson_get_str(yyjson_obj_get(g, "large")), "b");
    CHECK(yyjson_get_num(yyjson_ptr_get(g, "/servers/1/growth/cpu_us")) == 1);
    CHECK_STR(yyjson_get_str(yyjson_ptr_get(g, "/servers/1/verdict")), "flat");
    yyjson_doc_free(doc);
    CHECK(report_markdown(r, path));
    text = slurp();
    CHECK(strstr(text, "| things: 1 to 1,000,000 <things> | server CPU, µs/message | 11.0 | 11.0 | flat |"));
    CHECK(report_html(r, path));
    text = slurp();
    CHECK(strstr(text, "What grows") && strstr(text, "1,000,000 &lt;things&gt;") &&
          strstr(text, "11.0 → 11.0"));
    report_close(r);
}

/* Fields of a line as RFC 4180 has them; quotes may hide commas. */
static size_t fields(const char **p) {
    size_t n = 1;
    bool quoted = false;
    for (; **p && (quoted || **p != '\n'); ++*p) {
        if (**p == '"')
            quoted = !quoted;
        else if (**p == ',' && !quoted)
            n++;
    }
    if (**p) ++*p;
    return n;
}

static void csv_has_the_same_fields_in_each_line(void) {
    struct report *r = sample();
    make_path();
    CHECK(report_csv(r, path));
    const char *p = slurp();
    CHECK(strstr(p, "\"one, \"\"1\"\"\""));
    size_t columns = fields(&p), lines = 0;
    CHECK_EQ(columns, 8 + FIG_COUNT);
    for (; *p; lines++) CHECK_EQ(fields(&p), columns);
    CHECK_EQ(lines, 12);
    report_close(r);
}

static void the_page_needs_nothing_from_outside(void) {
    struct report *r = sample();
    make_path();
    CHECK(report_html(r, path));
    const char *text = slurp();
    static const char *const outside[] = {"http:",   "https:",  "src=",  "href=", "url(",
                                          "@import", "<script", "<link", "<img"};
    for (size_t i = 0; i < sizeof outside / sizeof outside[0]; i++) {
        if (strstr(text, outside[i])) fprintf(stderr, "the page holds %s\n", outside[i]);
        CHECK(!strstr(text, outside[i]));
    }
    CHECK(strstr(text, "prefers-color-scheme:dark"));
    CHECK(strstr(text, "<svg") && strstr(text, "latency by percentile") && strstr(text, "latency over time"));
    CHECK(strstr(text, "two&lt;script&gt;") && strstr(text, "better"));
    CHECK(!strstr(text, "nan"));
    report_close(r);
}

static size_t count_of(const char *text, const char *what) {
    size_t n = 0;
    for (const char *p = text; (p = strstr(p, what)); p += strlen(what)) n++;
    return n;
}

static void the_page_is_balanced(void) {
    static const char *const tags[] = {"table", "tr",    "td", "th",   "svg", "figure",
                                       "div",   "small", "dl", "span", "p",   "b"};
    struct report *r = sample();
    make_path();
    CHECK(report_html(r, path));
    const char *text = slurp();
    for (size_t i = 0; i < sizeof tags / sizeof tags[0]; i++) {
        char open[24], with[24], close[24];
        snprintf(open, sizeof open, "<%s>", tags[i]);
        snprintf(with, sizeof with, "<%s ", tags[i]);
        snprintf(close, sizeof close, "</%s>", tags[i]);
        CHECK_EQ(count_of(text, open) + count_of(text, with), count_of(text, close));
    }
    report_close(r);
}

static void a_void_round_gives_no_figures(void) {
    struct report *r = sample();
    struct round *round = add_round(&r->rows[0], 1, 0.000123, 1);
    round->valid = false;
    snprintf(round->why, sizeof round->why, "nothing <came> back");
    CHECK(report_void(r));
    make_path();
    CHECK(report_html(r, path));
    CHECK(strstr(slurp(), "void: nothing &lt;came&gt; back"));
    FILE *f = fopen(path, "w");
    report_text_row(r, &r->rows[0], f);
    fclose(f);
    const char *text = slurp();
    CHECK(strstr(text, "VOID: nothing <came> back") && !strstr(text, " to one"));
    report_close(r);
}

static void families_share_a_drawing(void) {
    struct report *r = sample();
    make_path();
    for (size_t i = 0; i < 2; i++) {
        snprintf(r->rows[i].command, sizeof r->rows[i].command, "storage");
        r->rows[i].rate = 1000.0 * (double)(i + 1);
    }
    CHECK(report_html(r, path));
    const char *text = slurp();
    CHECK(strstr(text, "server CPU, µs/message (shorter is better)"));
    for (size_t i = 0; i < 2; i++) snprintf(r->rows[i].command, sizeof r->rows[i].command, "latency");
    CHECK(report_html(r, path));
    CHECK(strstr(slurp(), "Latency by load"));
    report_close(r);
}

static void only_what_is_comparable_is_compared(void) {
    struct report *r = sample();
    struct row *row = &r->rows[0];
    CHECK(row_comparable(row, 0, 1, FIG_CPU) && row_comparable(row, 0, 1, FIG_RATE) &&
          row_comparable(row, 0, 1, FIG_P99));
    CHECK(!row_comparable(row, 0, 1, FIG_LOAD));
    row->rate = 1000;
    CHECK(row_comparable(row, 0, 1, FIG_CPU) && !row_comparable(row, 0, 1, FIG_RATE) &&
          row_comparable(row, 0, 1, FIG_P99));
    row->cells[1].rounds[0].behind = true;
    CHECK(row_comparable(row, 0, 1, FIG_CPU) && !row_comparable(row, 0, 1, FIG_P99) &&
          !row_comparable(row, 0, 1, FIG_MAX));
    row->cells[0].rounds[2].valid = false;
    CHECK(!row_comparable(row, 0, 1, FIG_CPU));
    report_close(r);
}

static void tables_for_a_readme(void) {
    struct report *r = sample();
    make_path();
    r->rows[1].headline = FIG_P99;
    CHECK(report_markdown(r, path));
    const char *text = slurp();
    CHECK_EQ(count_of(text, "\n"), 4);
    CHECK_EQ(count_of(text, "|"), 4 * 8);
    CHECK(strstr(text, "| 11.0 | 2.10 | 0.19 | 1,001/s | 5,001/s |"));
    CHECK(strstr(text, "| 10.0 µs p99 | 50.0 µs p99 |"));
    add_round(&r->rows[0], 1, 11, 1)->figures[FIG_CPU] = 11;
    CHECK(report_markdown(r, path));
    CHECK(strstr(slurp(), "no difference shown"));
    report_close(r);
}

static void empty_reports_are_written_too(void) {
    struct report *r = report_open();
    make_path();
    CHECK(report_json(r, path));
    slurp();
    CHECK(report_csv(r, path));
    slurp();
    CHECK(report_html(r, path));
    slurp();
    CHECK(!report_json(r, "/none/such") && !report_csv(r, "/none/such") && !report_html(r, "/none/such"));
    report_close(r);
}

static void numbers_for_readers(void) {
    static const struct {
        double v;
        const char *text;
    } cases[] = {{0, "0"},       {0.456, "0.46"},     {12.34, "12.3"},
                 {123.4, "123"}, {1234, "1,234"},     {1234567.8, "1,234,568"},
                 {NAN, "-"},     {-12345, "-12,345"}, {999999, "999,999"}};
    char text[40];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        CHECK_STR(figure_text(cases[i].v, text, sizeof text), cases[i].text);
}

CHECK_MAIN(CASE(json_parses_and_holds_everything), CASE(json_reads_back), CASE(growth_is_judged),
           CASE(growth_is_written), CASE(csv_has_the_same_fields_in_each_line),
           CASE(the_page_needs_nothing_from_outside), CASE(the_page_is_balanced),
           CASE(a_void_round_gives_no_figures), CASE(families_share_a_drawing),
           CASE(only_what_is_comparable_is_compared), CASE(tables_for_a_readme),
           CASE(empty_reports_are_written_too), CASE(numbers_for_readers))
