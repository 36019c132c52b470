/* The command line. */

#define _GNU_SOURCE
#include "fleet.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: ranks [OPTION]… NAME=VALUE…\n"
    "Forks hosts, which fork ranks. After each line of standard input, all ranks run one round at the same time: each\n"
    "opens a manager in the first round, and gets every secret NAME, which must be VALUE. Prints a line of JSON when all\n"
    "ranks are ready, and one for each round. In values of variables, %h is the address of a host, %d its directory.\n"
    "  --hosts N  --ranks N  --rounds N\n"
    "  --config JSON           configuration of the manager\n"
    "  --share BASE            share_dir is BASE/host-N\n"
    "  --tmpfs KIB             each host mounts its directory, where that is allowed\n"
    "  --env NAME=VALUE        variable of the hosts\n"
    "  --spread SECONDS        time over which the hosts start; the ranks of a host start at once\n"
    "  --repeat SECONDS        repeat the gets for so long, every --interval SECONDS\n"
    "  --follow                repeat the gets every --interval SECONDS while the first secret is rotated. Its value is\n"
    "                          VALUE and the number of the rotation. A line `rotated NANOSECONDS` of standard input says\n"
    "                          when it was rotated again, the line `end` that it is no longer rotated: each rank goes\n"
    "                          on until it has read the last value\n"
    "  --readers N             with --follow: in each rank, so many threads\n"
    "  --listen                with --follow: the first rank of each host listens for changes between its gets\n"
    "  --warm                  a process of the host gets the secrets first\n"
    "  --kill PERCENT          in so many hosts, kill a rank in the middle of a load\n"
    "  --stop PERCENT          in so many hosts, stop a rank in the middle of a load, for --stop-seconds\n"
    "  --damage KIND           full, page (between two rounds), owner, symlink or mode: of the directory, in --damaged "
    "PERCENT of the hosts\n"
    "  --intruder KIND         user or settings: one more process of another user, or with --intruder-env NAME=VALUE\n"
    "                          and --intruder-config NAME=VALUE\n";

struct options options = {
    .hosts = 1, .ranks = 1, .rounds = 1, .readers = 1, .interval = 0.1, .stop_seconds = 3, .config = "{}"};

static _Noreturn void fail(const char *what, const char *value) {
    fprintf(stderr, "ranks: %s: %s\n%s", what, value, usage);
    exit(2);
}

static void add(struct setting *settings, int *count, int max, char *text) {
    char *value = strchr(text, '=');
    if (!value || *count == max) fail("not NAME=VALUE, or too many", text);
    *value++ = '\0';
    settings[(*count)++] = (struct setting){text, value};
}

static int choice(const char *text, const char *const *names) {
    for (int i = 0; names[i]; i++)
        if (strcmp(names[i], text) == 0) return i;
    fail("unknown", text);
}

enum {
    HOSTS = 1,
    RANKS,
    ROUNDS,
    CONFIG,
    SHARE,
    TMPFS,
    ENV,
    SPREAD,
    REPEAT,
    INTERVAL,
    FOLLOW,
    READERS,
    LISTEN,
    WARM,
    KILL,
    STOP,
    STOP_SECONDS,
    DAMAGE,
    DAMAGED,
    INTRUDER,
    INTRUDER_ENV,
    INTRUDER_CONFIG
};

static const struct option known[] = {{"hosts", 1, NULL, HOSTS},
                                      {"ranks", 1, NULL, RANKS},
                                      {"rounds", 1, NULL, ROUNDS},
                                      {"config", 1, NULL, CONFIG},
                                      {"share", 1, NULL, SHARE},
                                      {"tmpfs", 1, NULL, TMPFS},
                                      {"env", 1, NULL, ENV},
                                      {"spread", 1, NULL, SPREAD},
                                      {"repeat", 1, NULL, REPEAT},
                                      {"interval", 1, NULL, INTERVAL},
                                      {"follow", 0, NULL, FOLLOW},
                                      {"readers", 1, NULL, READERS},
                                      {"listen", 0, NULL, LISTEN},
                                      {"warm", 0, NULL, WARM},
                                      {"kill", 1, NULL, KILL},
                                      {"stop", 1, NULL, STOP},
                                      {"stop-seconds", 1, NULL, STOP_SECONDS},
                                      {"damage", 1, NULL, DAMAGE},
                                      {"damaged", 1, NULL, DAMAGED},
                                      {"intruder", 1, NULL, INTRUDER},
                                      {"intruder-env", 1, NULL, INTRUDER_ENV},
                                      {"intruder-config", 1, NULL, INTRUDER_CONFIG},
                                      {0}};

static void set_option(int option, char *value) {
    static const char *const damages[] = {"none", "full", "page", "owner", "symlink", "mode", NULL};
    static const char *const intruders[] = {"none", "user", "settings", NULL};
    struct options *o = &options;
    switch (option) {
    case HOSTS:
        o->hosts = atoi(value);
        break;
    case RANKS:
        o->ranks = atoi(value);
        break;
    case ROUNDS:
        o->rounds = atoi(value);
        break;
    case CONFIG:
        o->config = value;
        break;
    case SHARE:
        o->share_base = value;
        break;
    case TMPFS:
        o->tmpfs_kib = strtoul(value, NULL, 10);
        break;
    case ENV:
        add(o->environment, &o->environment_count, MAX_SETTINGS, value);
        break;
    case SPREAD:
        o->spread = atof(value);
        break;
    case REPEAT:
        o->repeat = atof(value);
        break;
    case INTERVAL:
        o->interval = atof(value);
        break;
    case FOLLOW:
        o->follow = true;
        break;
    case READERS:
        o->readers = atoi(value);
        break;
    case LISTEN:
        o->listen = true;
        break;
    case WARM:
        o->warm = true;
        break;
    case KILL:
        o->kill = atof(value);
        break;
    case STOP:
        o->stop = atof(value);
        break;
    case STOP_SECONDS:
        o->stop_seconds = atof(value);
        break;
    case DAMAGE:
        o->sabotage = (enum sabotage)choice(value, damages);
        break;
    case DAMAGED:
        o->damaged = atof(value);
        break;
    case INTRUDER:
        o->intruder = (enum intruder)choice(value, intruders);
        break;
    case INTRUDER_ENV:
        add(o->intruder_environment, &o->intruder_environment_count, MAX_SETTINGS, value);
        break;
    case INTRUDER_CONFIG:
        add(o->intruder_config, &o->intruder_config_count, MAX_SETTINGS, value);
        break;
    default:
        fail("unknown option", "");
    }
}

void parse_options(int argc, char **argv) {
    for (int option; (option = getopt_long(argc, argv, "", known, NULL)) != -1;) set_option(option, optarg);
    for (; optind < argc; optind++) add(options.expected, &options.expected_count, MAX_SECRETS, argv[optind]);
    if (options.hosts < 1 || options.hosts > 60000 || options.ranks < 1 || options.readers < 1 ||
        !options.expected_count)
        fail("hosts, ranks and a secret", "missing");
}
