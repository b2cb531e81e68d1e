/* compare.c - two earlier results beside each other: rows of the same name, servers of the same label (or the
 * only one of each), ratios with their spread. Says so when the machines differ. */
#include <stdio.h>
#include <string.h>

#include "cmd/plan.h"
#include "report/load.h"

static void say_machines(const struct report *a, const struct report *b) {
    const char *fields[][3] = {{"kernel", a->machine.kernel, b->machine.kernel},
                               {"processor", a->machine.cpu, b->machine.cpu},
                               {"file system", a->machine.file_system, b->machine.file_system}};
    for (size_t i = 0; i < 3; i++) {
        if (strcmp(fields[i][1], fields[i][2]) != 0)
            printf("the %s differs: %s, %s\n", fields[i][0], fields[i][1], fields[i][2]);
    }
    printf("A  %s, durable write p50 %.0f µs, load %.2f\nB  %s, durable write p50 %.0f µs, load %.2f\n\n",
           a->machine.started, a->flush_p50_us, a->machine.load, b->machine.started, b->flush_p50_us,
           b->machine.load);
}

static size_t server_of(const struct report *r, const char *label) {
    for (size_t i = 0; i < r->servers_n; i++) {
        if (strcmp(r->servers[i].label, label) == 0) return i;
    }
    return r->servers_n == 1 ? 0 : SERVERS_MAX;
}

static const struct row *row_of(const struct report *r, const struct row *like) {
    for (size_t i = 0; i < r->rows_n; i++) {
        if (strcmp(r->rows[i].name, like->name) == 0 && strcmp(r->rows[i].title, like->title) == 0)
            return &r->rows[i];
    }
    return NULL;
}

/* Cells are borrowed for printing: the pair is not closed. */
static int compare_server(const struct report *a, const struct report *b, size_t sa, size_t sb) {
    static struct report pair;
    memset(&pair, 0, sizeof pair);
    pair.servers_n = 2;
    snprintf(pair.servers[0].label, sizeof pair.servers[0].label, "A %.29s", a->servers[sa].label);
    snprintf(pair.servers[1].label, sizeof pair.servers[1].label, "B %.29s", b->servers[sb].label);
    int rows = 0;
    for (size_t i = 0; i < a->rows_n; i++) {
        const struct row *other = row_of(b, &a->rows[i]);
        if (!other) continue;
        struct row row = a->rows[i];
        row.cells[0] = a->rows[i].cells[sa];
        row.cells[1] = other->cells[sb];
        if (row.cells[0].rounds_n == 0 || row.cells[1].rounds_n == 0) continue;
        report_text_row(&pair, &row, stdout);
        rows++;
    }
    return rows;
}

int cmd_compare(const struct options *o) {
    char why[400];
    struct report *a = report_load(o->files[0], why, sizeof why),
                  *b = a ? report_load(o->files[1], why, sizeof why) : NULL;
    int rows = 0;
    if (b) {
        say_machines(a, b);
        for (size_t i = 0; i < a->servers_n; i++) {
            size_t k = server_of(b, a->servers[i].label);
            if (k < SERVERS_MAX) rows += compare_server(a, b, i, k);
        }
        if (rows == 0) snprintf(why, sizeof why, "the two files have no row and server in common");
    }
    if (rows == 0) fprintf(stderr, "millrace-bench: %s\n", why);
    if (a) report_close(a);
    if (b) report_close(b);
    return rows > 0 ? 0 : 1;
}
