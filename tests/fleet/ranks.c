/* Starts a fleet on this machine. The usage is in options.c. */

#define _GNU_SOURCE
#include "fleet.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct fleet *fleet;
static int *host_pids;

static void start_hosts(void) {
    host_pids = calloc((size_t)options.hosts, sizeof *host_pids);
    if (!host_pids) die("calloc");
    for (int host = 0; host < options.hosts; host++) {
        int pid = start_child();
        if (pid == 0) host_main(host);
        host_pids[host] = pid;
    }
}

/* The processes of a host that get secrets. */
static int processes_of_host(void) {
    return options.ranks + (options.intruder != INTRUDER_NONE);
}

/* Ends the program if a host has failed: nothing would report the end of its ranks. */
static void check_hosts(void) {
    int status;
    while (waitpid(-1, &status, WNOHANG) > 0) {
        if (status == 0) continue;
        fprintf(stderr, "ranks: a host failed with status %d\n", status);
        exit(2);
    }
}

/* Ends the program if a rank ended before the first round. */
static void check_ranks(void) {
    for (int host = 0; host < options.hosts; host++) {
        for (int i = 0; i < processes_of_host(); i++) {
            int status = rank_of(host, i)->dead;
            if (!status) continue;
            fprintf(stderr, "ranks: %s of host %d ended before the start with status %d\n",
                    i < options.ranks ? "a rank" : "the intruder", host, status);
            exit(2);
        }
    }
}

static void wait_until_ready(void) {
    uint32_t wanted = (uint32_t)options.hosts * (uint32_t)processes_of_host();
    while (fleet->ready < wanted) {
        check_hosts();
        check_ranks();
        sleep_seconds(0.01);
    }
    printf("{\"ready\": %u, \"private_mounts\": %d}\n", wanted, fleet->private_mounts);
    fflush(stdout);
}

static bool all_finished(int round) {
    for (int host = 0; host < options.hosts; host++)
        for (int i = 0; i < processes_of_host(); i++)
            if (rank_of(host, i)->finished < round && !rank_of(host, i)->dead) return false;
    return true;
}

/* Overwrites the shared pages of some hosts with noise; their sizes stay. */
static void damage_pages(void) {
    char pattern[PATH_MAX + 64], noise[4096];
    for (size_t i = 0; i < sizeof noise; i++) noise[i] = (char)(i * 167 + 13);
    for (int host = 0; host < options.hosts; host++) {
        if (!is_chosen(host, options.damaged, 0)) continue;
        snprintf(pattern, sizeof pattern, "/proc/%d/root%s/*.page", host_pids[host], share_directory(host));
        glob_t found = {0};
        if (glob(pattern, 0, NULL, &found) != 0) {
            fprintf(stderr, "ranks: host %d has no page\n", host);
            exit(2);
        }
        for (size_t i = 0; i < found.gl_pathc; i++) {
            int file = open(found.gl_pathv[i], O_WRONLY | O_CLOEXEC);
            if (file < 0 || pwrite(file, noise, sizeof noise, 0) != sizeof noise) die(found.gl_pathv[i]);
            close(file);
        }
        globfree(&found);
    }
}

/* Waits a moment for a line about a rotation. */
static void follow_rotations(void) {
    struct pollfd input = {STDIN_FILENO, POLLIN, 0};
    if (fleet->rotations_ended) {
        sleep_seconds(0.02);
        return;
    }
    if (poll(&input, 1, 20) != 1) return;
    char line[64];
    int64_t rotated;
    if (!fgets(line, sizeof line, stdin)) exit(2);
    if (strcmp(line, "end\n") == 0) {
        fleet->rotations_ended = true;
    } else if (sscanf(line, "rotated %" SCNd64, &rotated) == 1 && fleet->rotation + 1 < MAX_ROTATIONS) {
        fleet->rotated[fleet->rotation + 1] = rotated;
        fleet->rotation++;
    } else {
        fprintf(stderr, "ranks: no line about a rotation, or too many: %s", line);
        exit(2);
    }
}

int main(int argc, char **argv) {
    parse_options(argc, argv);
    /* A line that poll does not see must not be in a buffer. */
    setvbuf(stdin, NULL, _IONBF, 0);
    size_t ranks = (size_t)options.hosts * (size_t)(options.ranks + 1);
    fleet = mmap(NULL, sizeof *fleet + ranks * sizeof(struct rank), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                 -1, 0);
    if (fleet == MAP_FAILED) die("mmap");
    start_hosts();
    wait_until_ready();
    char line[16];
    for (int round = 1; round <= options.rounds; round++) {
        if (!fgets(line, sizeof line, stdin)) return 2;
        if (round > 1 && options.sabotage == SABOTAGE_PAGE) damage_pages();
        fleet->round_began = now_ns();
        fleet->round = (uint32_t)round;
        syscall(SYS_futex, &fleet->round, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
        while (!all_finished(round)) {
            check_hosts();
            if (options.follow) {
                follow_rotations();
            } else {
                sleep_seconds(0.02);
            }
        }
        print_report(round);
    }
    while (wait(NULL) > 0 || errno == EINTR) continue;
}
