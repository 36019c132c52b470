/* The fleet: hosts that fork ranks, which get secrets at one signal. All of them share one mapping. */

#ifndef FLEET_H
#define FLEET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <st_secrets.h>

enum { MAX_SECRETS = 8, MAX_SETTINGS = 32, MAX_ROTATIONS = 32, MESSAGE = 200 };

/* What happens to some of the hosts. */
enum sabotage { SABOTAGE_NONE, SABOTAGE_FULL, SABOTAGE_PAGE, SABOTAGE_OWNER, SABOTAGE_SYMLINK, SABOTAGE_MODE };

/* Another process on the directory of each host. */
enum intruder { INTRUDER_NONE, INTRUDER_USER, INTRUDER_SETTINGS };

enum victim { VICTIM_NONE, VICTIM_KILLED, VICTIM_STOPPED };

struct setting {
    const char *name, *value;
};

struct options {
    int hosts, ranks, rounds;
    /* Threads of a rank that get the secrets with `follow`. */
    int readers;
    /* In seconds: the time over which the hosts start; for how long and how often each repeats its gets. */
    double spread, repeat, interval;
    const char *config;
    const char *share_base;
    size_t tmpfs_kib;
    /* Percent of the hosts. */
    double kill, stop, damaged;
    double stop_seconds;
    enum sabotage sabotage;
    enum intruder intruder;
    bool warm;
    /* The first secret is rotated during the round; in each host, the first rank listens for changes. */
    bool follow, listen;
    struct setting environment[MAX_SETTINGS], intruder_environment[MAX_SETTINGS], intruder_config[MAX_SETTINGS];
    struct setting expected[MAX_SECRETS];
    int environment_count, intruder_environment_count, intruder_config_count, expected_count;
};

/* What a rank reports of a round. */
struct rank {
    _Atomic int pid;
    /* The last round that it finished. */
    _Atomic int finished;
    _Atomic int victim;
    _Atomic int dead;
    int64_t began, ended;
    uint32_t gets, failures, wrong, stale, shared, cached;
    /* When it last read the value of each rotation. */
    int64_t last_read[MAX_ROTATIONS];
    int rotation;
    int32_t status;
    char message[MESSAGE];
};

/* The mapping. Rank `r` of host `h` is `ranks[h * (options.ranks + 1) + r]`; the last of a host is its intruder. */
struct fleet {
    _Atomic uint32_t round;
    _Atomic uint32_t ready;
    _Atomic int private_mounts;
    int64_t round_began;
    /* The number of the last rotation, and when each of them was announced. */
    _Atomic int rotation;
    int64_t rotated[MAX_ROTATIONS];
    _Atomic bool rotations_ended;
    struct rank ranks[];
};

extern struct options options;
extern struct fleet *fleet;

/* In host.c. */
int64_t now_ns(void);
void sleep_seconds(double seconds);
void wait_for_round(uint32_t round);
/* Whether host `host` is one of `percent` of all, spread evenly; `offset` chooses others. */
bool is_chosen(int host, double percent, int offset);
const char *share_directory(int host);
/* Replaces %h with the address of the host, 127.77.X.Y, and %d with its directory. */
const char *expand(const char *text, int host);
/* Forks a process that ends with this one, and returns 0 in it. */
int start_child(void);
_Noreturn void host_main(int host);
_Noreturn void die(const char *what);

/* In rank.c. */
_Noreturn void rank_main(int host, int index, bool is_intruder);
/* Gets every secret once, in this process, with a manager of its own. Returns the status. */
st_status warm_up(int host);

/* In options.c. */
void parse_options(int argc, char **argv);

/* In report.c: one line of JSON about a round. */
void print_report(int round);
void print_text(const char *text);

static inline struct rank *rank_of(int host, int index) {
    return &fleet->ranks[(size_t)host * (size_t)(options.ranks + 1) + (size_t)index];
}

#endif
