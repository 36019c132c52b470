/* What the ranks report of a round, as one line of JSON. Times are in seconds. */

#define _GNU_SOURCE
#include "fleet.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int compare(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static void print_percentiles(const char *name, double *times, size_t count) {
    printf(", \"%s\": ", name);
    if (count == 0) {
        printf("null");
        return;
    }
    qsort(times, count, sizeof *times, compare);
    printf("{\"p50\": %.6f, \"p90\": %.6f, \"p99\": %.6f, \"max\": %.6f}", times[count / 2], times[count * 9 / 10],
           times[count * 99 / 100], times[count - 1]);
}

void print_text(const char *text) {
    putchar('"');
    for (; *text; text++) {
        if ((unsigned char)*text < ' ') {
            printf("\\u%04x", (unsigned)*text);
        } else {
            if (strchr("\"\\", *text)) putchar('\\');
            putchar(*text);
        }
    }
    putchar('"');
}

struct totals {
    long ranks, failed, gets, failures, wrong, stale, shared, cached, killed, stopped, dead;
};

static void add(struct totals *totals, const struct rank *rank) {
    totals->ranks++;
    totals->killed += rank->victim == VICTIM_KILLED;
    totals->stopped += rank->victim == VICTIM_STOPPED;
    if (rank->dead) {
        totals->dead++;
        return;
    }
    totals->failed += rank->failures > 0;
    totals->gets += rank->gets;
    totals->failures += rank->failures;
    totals->wrong += rank->wrong;
    totals->stale += rank->stale;
    totals->shared += rank->shared;
    totals->cached += rank->cached;
}

static void print_totals(const struct totals *t) {
    printf("\"ranks\": %ld, \"failed\": %ld, \"killed\": %ld, \"stopped\": %ld, \"dead\": %ld, \"gets\": %ld, "
           "\"failures\": %ld, \"wrong\": %ld, \"stale\": %ld, \"shared\": %ld, \"cached\": %ld",
           t->ranks, t->failed, t->killed, t->stopped, t->dead, t->gets, t->failures, t->wrong, t->stale, t->shared,
           t->cached);
}

/* Prints how many ranks failed with each status, and the message of the first of them. */
static void print_failures(int first, int last) {
    bool printed[256] = {0};
    const char *separator = "";
    printf(", \"statuses\": {");
    for (int host = 0; host < options.hosts; host++) {
        for (int i = first; i < last; i++) {
            const struct rank *rank = rank_of(host, i);
            if (rank->dead || rank->failures == 0 || printed[-rank->status & 255]) continue;
            printed[-rank->status & 255] = true;
            long count = 0;
            for (int other = host; other < options.hosts; other++)
                for (int j = first; j < last; j++) {
                    const struct rank *same = rank_of(other, j);
                    count += !same->dead && same->failures > 0 && same->status == rank->status;
                }
            printf("%s\"%s\": {\"ranks\": %ld, \"message\": ", separator, st_status_name(rank->status), count);
            print_text(rank->message);
            printf("}");
            separator = ", ";
        }
    }
    printf("}");
}

static void print_times(void) {
    size_t started = 0, count = 0, hosts = 0;
    double *all = calloc((size_t)options.hosts * (size_t)options.ranks, sizeof *all);
    double *starts = calloc((size_t)options.hosts * (size_t)options.ranks, sizeof *starts);
    double *since_signal = calloc((size_t)options.hosts * (size_t)options.ranks, sizeof *all);
    double *spans = calloc((size_t)options.hosts, sizeof *spans);
    if (!all || !starts || !since_signal || !spans) die("calloc");
    for (int host = 0; host < options.hosts; host++) {
        int64_t first = INT64_MAX, last = 0;
        for (int i = 0; i < options.ranks; i++) {
            const struct rank *rank = rank_of(host, i);
            if (rank->dead || rank->victim) continue;
            starts[started++] = (double)(rank->began - fleet->round_began) / 1e9;
            if (rank->failures) continue;
            all[count] = (double)(rank->ended - rank->began) / 1e9;
            since_signal[count++] = (double)(rank->ended - fleet->round_began) / 1e9;
            if (rank->ended < first) first = rank->ended;
            if (rank->ended > last) last = rank->ended;
        }
        if (last) spans[hosts++] = (double)(last - first) / 1e9;
    }
    print_percentiles("start", starts, started);
    print_percentiles("load", all, count);
    print_percentiles("since_signal", since_signal, count);
    print_percentiles("first_to_last_of_host", spans, hosts);
    free(starts);
    free(all);
    free(since_signal);
    free(spans);
}

/* How long after each rotation each rank last read an older value. */
static void print_rotations(void) {
    size_t count = 0, most = (size_t)options.hosts * (size_t)options.ranks * (size_t)fleet->rotation;
    double *times = calloc(most ? most : 1, sizeof *times);
    if (!times) die("calloc");
    for (int host = 0; host < options.hosts; host++)
        for (int i = 0; i < options.ranks; i++) {
            int64_t last_older = 0;
            for (int rotation = 1; rotation <= fleet->rotation; rotation++) {
                int64_t read = rank_of(host, i)->last_read[rotation - 1];
                if (read > last_older) last_older = read;
                int64_t late = last_older - fleet->rotated[rotation];
                times[count++] = late > 0 ? (double)late / 1e9 : 0;
            }
        }
    print_percentiles("older_after_rotation", times, count);
    free(times);
}

void print_report(int round) {
    struct totals ranks = {0}, intruders = {0};
    for (int host = 0; host < options.hosts; host++) {
        for (int i = 0; i < options.ranks; i++) add(&ranks, rank_of(host, i));
        if (options.intruder != INTRUDER_NONE) add(&intruders, rank_of(host, options.ranks));
    }
    printf("{\"round\": %d, \"hosts\": %d, \"private_mounts\": %d, ", round, options.hosts, fleet->private_mounts);
    print_totals(&ranks);
    print_failures(0, options.ranks);
    print_times();
    if (options.follow) print_rotations();
    if (options.intruder != INTRUDER_NONE) {
        printf(", \"intruders\": {");
        print_totals(&intruders);
        print_failures(options.ranks, options.ranks + 1);
        printf("}");
    }
    printf(", \"last_get\": %.6f", (double)(now_ns() - fleet->round_began) / 1e9);
    printf(", \"killed_hosts\": [");
    const char *separator = "";
    for (int host = 0; host < options.hosts; host++)
        for (int i = 0; i < options.ranks; i++)
            if (rank_of(host, i)->victim) {
                printf("%s%d", separator, host);
                separator = ", ";
            }
    printf("]}\n");
    fflush(stdout);
}
