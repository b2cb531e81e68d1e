/* csv.c - one line for each round of each cell, all figures as columns, so that a spreadsheet needs nothing
 * else. */
#include <math.h>
#include <string.h>

#include "report/report.h"

/* RFC 4180: quoted when needed, quotes doubled. */
static void put_field(FILE *f, const char *text) {
    if (!strpbrk(text, ",\"\n\r")) {
        fputs(text, f);
        return;
    }
    fputc('"', f);
    for (; *text; text++) {
        if (*text == '"') fputc('"', f);
        fputc(*text, f);
    }
    fputc('"', f);
}

static void put_round(FILE *f, const struct report *r, const struct row *row, size_t server, size_t i) {
    const struct round *round = &row->cells[server].rounds[i];
    const char *fields[] = {row->name, row->command, row->title,
                            row->mode[0] ? row->mode : r->servers[server].mode, r->servers[server].label};
    for (size_t k = 0; k < sizeof fields / sizeof fields[0]; k++) {
        put_field(f, fields[k]);
        fputc(',', f);
    }
    fprintf(f, "%zu,%s,", i + 1, round->valid ? "yes" : "void");
    put_field(f, round->why);
    for (size_t k = 0; k < FIG_COUNT; k++) {
        fputc(',', f);
        if (!isnan(round->figures[k])) fprintf(f, "%.9g", round->figures[k]);
    }
    fputs("\r\n", f);
}

bool report_csv(const struct report *r, const char *path) {
    FILE *f = fopen(path, "we");
    if (!f) return false;
    fputs("row,command,work,mode,server,round,valid,why", f);
    for (size_t k = 0; k < FIG_COUNT; k++) fprintf(f, ",%s", figure_info[k].key);
    fputs("\r\n", f);
    for (size_t i = 0; i < r->rows_n; i++) {
        for (size_t s = 0; s < r->servers_n; s++) {
            for (size_t k = 0; k < r->rows[i].cells[s].rounds_n; k++) put_round(f, r, &r->rows[i], s, k);
        }
    }
    bool ok = !ferror(f);
    return fclose(f) == 0 && ok;
}
