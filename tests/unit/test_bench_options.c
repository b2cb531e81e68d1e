/* test_bench_options.c - the benchmark's command line: what it takes, and that it refuses the rest by name.
 */
#include "cmd/options.h"
#include "lib/check.h"

enum { WORDS = 24 };
static struct options o;
static char why[300];

static bool parse(const char *line) {
    static char text[600];
    char *words[WORDS];
    int n = 0;
    snprintf(text, sizeof text, "%s", line);
    for (char *save, *w = strtok_r(text, " ", &save); w && n < WORDS; w = strtok_r(NULL, " ", &save))
        words[n++] = w;
    why[0] = 0;
    return options_parse(&o, n, words, why, sizeof why);
}

static void refused(const char *line, const char *text) {
    CHECK(!parse(line));
    if (!strstr(why, text)) fprintf(stderr, "%s: '%s' does not say '%s'\n", line, why, text);
    CHECK(strstr(why, text));
}

static void counts(void) {
    uint64_t n;
    CHECK(count_parse("1000", &n) && n == 1000);
    CHECK(count_parse("16KiB", &n) && n == 16384);
    CHECK(count_parse("3M", &n) && n == 3000000);
    CHECK(count_parse("20k", &n) && n == 20000);
    CHECK(count_parse("1_000_000", &n) && n == 1000000);
    CHECK(count_parse("1MiB", &n) && n == 1 << 20);
    CHECK(!count_parse("", &n));
    CHECK(!count_parse("k", &n));
    CHECK(!count_parse("-1", &n));
    CHECK(!count_parse("5x", &n));
    CHECK(!count_parse("1.5k", &n));
    CHECK(!count_parse("99999999999999999999", &n));
    CHECK(!count_parse("18446744073709551615G", &n));
}

static void durations(void) {
    uint64_t ns;
    CHECK(duration_parse("10", &ns) && ns == 10000000000);
    CHECK(duration_parse("500ms", &ns) && ns == 500000000);
    CHECK(duration_parse("1m30s", &ns) && ns == 90000000000);
    CHECK(duration_parse("0", &ns) && ns == 0);
    CHECK(!duration_parse("-1s", &ns));
    CHECK(!duration_parse("soon", &ns));
    CHECK(!duration_parse("", &ns));
}

static void what_each_command_starts_from(void) {
    CHECK(parse("throughput"));
    CHECK(o.command == CMD_THROUGHPUT && o.connections == 1 && o.window == 500 && o.size == 128 &&
          o.on == ON_FILE);
    CHECK(o.repeat == 1 && o.seed == 1 && o.duration_ns == 5000000000 && o.warmup_ns == 1000000000);
    CHECK(parse("request") && o.window == 1);
    CHECK(parse("latency") && o.rates_n == 0 && o.connections == 4);
    CHECK(parse("shapes --quick --only=subjects,idle") && o.quick && !strcmp(o.only, "subjects,idle"));
    CHECK(parse("shapes") && !o.quick && !o.only[0]);
    CHECK(parse("limits") && parse("storage") && parse("fanout") && parse("consume"));
}

static void values_with_and_without_equals(void) {
    CHECK(parse("throughput --window=8 --connections 64 --size 1KiB --on memory --repeat 3 --duration 250ms "
                "--json /tmp/a"));
    CHECK(o.window == 8 && o.connections == 64 && o.size == 1024 && o.on == ON_MEMORY && o.repeat == 3);
    CHECK_EQ(o.duration_ns, 250000000);
    CHECK_STR(o.json, "/tmp/a");
    CHECK(parse("latency --rate 1k,20k,300k") && o.rates_n == 3);
    CHECK(o.rates[1] == 20000);
    CHECK(parse("throughput --trust --quiet") && o.trust && o.quiet);
}

static void servers_have_labels_of_their_own(void) {
    CHECK(parse("throughput --server a=nats://127.0.0.1:1 --server b=127.0.0.1:2"));
    CHECK_EQ(o.servers_n, 2);
    CHECK_STR(o.servers[1].label, "b");
    refused("throughput --server a=127.0.0.1:1 --server a=127.0.0.1:2", "two servers have the label");
    refused("throughput --server a=127.0.0.1:none", "not the address");
}

static void what_is_not_known_is_refused_by_name(void) {
    refused("", "not a command");
    refused("fast", "fast");
    refused("throughput --wibble 3", "--wibble");
    refused("throughput --window", "--window");
    refused("throughput --window 0", "--window");
    refused("throughput --window many", "many");
    refused("throughput --batch 3", "throughput has no option --batch");
    refused("throughput --on request", "--on");
    refused("consume --on core", "--on");
    refused("throughput --on disk", "disk");
    refused("storage --on memory", "storage has no option --on");
    refused("throughput --trust=yes", "takes no value");
    refused("throughput extra", "extra");
    refused("throughput -x", "-x");
    refused("latency --rate 0", "--rate");
    refused("latency --rate 5,,6", "--rate");
    refused("throughput --repeat 65", "--repeat");
    refused("latency --on core --size 8", "16");
}

static void files_of_compare_and_suite(void) {
    CHECK(parse("compare a.json b.json") && o.files_n == 2);
    CHECK_STR(o.files[1], "b.json");
    refused("compare a.json", "a file is missing");
    refused("compare a b c", "c");
    refused("suite", "a file is missing");
    CHECK(parse("suite list --repeat 2") && o.repeat == 2);
}

/* A suite's line starts from its command's defaults, but keeps what holds for all. */
static void lines_on_top_of_what_is_given(void) {
    char *words[] = {(char *)"request", (char *)"--size", (char *)"4"};
    CHECK(parse("suite list --repeat 7 --seed 9"));
    o.files_n = 0;
    CHECK(options_parse_more(&o, 3, words, why, sizeof why));
    CHECK(o.command == CMD_REQUEST && o.repeat == 7 && o.seed == 9 && o.size == 4 && o.window == 1);
}

CHECK_MAIN(CASE(counts), CASE(durations), CASE(what_each_command_starts_from),
           CASE(values_with_and_without_equals), CASE(servers_have_labels_of_their_own),
           CASE(what_is_not_known_is_refused_by_name), CASE(files_of_compare_and_suite),
           CASE(lines_on_top_of_what_is_given))
