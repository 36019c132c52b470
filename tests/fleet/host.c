/* One host: its directory, its ranks, and what happens to them. */

#define _GNU_SOURCE
#include "fleet.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

void die(const char *what) {
    perror(what);
    _exit(2);
}

int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void sleep_seconds(double seconds) {
    struct timespec left = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    while (nanosleep(&left, &left) != 0 && errno == EINTR) continue;
}

void wait_for_round(uint32_t round) {
    for (uint32_t now; (now = fleet->round) < round;) syscall(SYS_futex, &fleet->round, FUTEX_WAIT, now, NULL, NULL, 0);
}

bool is_chosen(int host, double percent, int offset) {
    double share = percent / 100;
    int shifted = host + offset;
    return (int)(share * (shifted + 1)) > (int)(share * shifted);
}

const char *share_directory(int host) {
    static char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/host-%d", options.share_base, host);
    return path;
}

const char *expand(const char *text, int host) {
    static char expanded[2 * PATH_MAX];
    size_t length = 0;
    for (; *text && length < sizeof expanded - PATH_MAX; text++) {
        char *end = expanded + length;
        size_t room = sizeof expanded - length;
        if (strncmp(text, "%h", 2) == 0) {
            length += (size_t)snprintf(end, room, "127.77.%d.%d", host / 250, host % 250 + 1);
            text++;
        } else if (strncmp(text, "%d", 2) == 0 && options.share_base) {
            length += (size_t)snprintf(end, room, "%s", share_directory(host));
            text++;
        } else {
            expanded[length++] = *text;
        }
    }
    expanded[length] = '\0';
    return expanded;
}

/* Mounts a file system in memory that only this host and its ranks see. Returns whether that is allowed. */
static bool mount_privately(const char *path) {
    char settings[64];
    snprintf(settings, sizeof settings, "mode=0700,size=%zuk", options.tmpfs_kib);
    return unshare(CLONE_NEWNS) == 0 && mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("fleet", path, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, settings) == 0;
}

static void fill(const char *directory) {
    char path[PATH_MAX + 8], block[4096] = {0};
    snprintf(path, sizeof path, "%s/ballast", directory);
    int file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0) die(path);
    while (write(file, block, sizeof block) > 0) continue;
    close(file);
}

static void prepare_directory(int host) {
    const char *path = share_directory(host);
    bool damaged = is_chosen(host, options.damaged, 0);
    if (damaged && options.sabotage == SABOTAGE_SYMLINK) {
        char target[PATH_MAX + 8];
        snprintf(target, sizeof target, "%s.elsewhere", path);
        if (mkdir(target, 0700) || symlink(target, path)) die(target);
        return;
    }
    if (mkdir(path, 0700) && errno != EEXIST) die(path);
    bool mounted = options.tmpfs_kib && mount_privately(path);
    fleet->private_mounts += mounted;
    if (!damaged) return;
    /* Without a mount, this would fill the file system of the whole machine. */
    if (options.sabotage == SABOTAGE_FULL && mounted) fill(path);
    if (options.sabotage == SABOTAGE_OWNER && chown(path, 65534, 65534)) die("chown");
    if (options.sabotage == SABOTAGE_MODE && chmod(path, 0755)) die("chmod");
}

/* Whether a process has a socket open: it is in the middle of a load. */
static bool has_socket(int pid) {
    char path[64], target[64];
    snprintf(path, sizeof path, "/proc/%d/fd", pid);
    DIR *directory = opendir(path);
    bool found = false;
    for (struct dirent *entry; directory && !found && (entry = readdir(directory));) {
        ssize_t length = readlinkat(dirfd(directory), entry->d_name, target, sizeof target);
        found = length > 7 && strncmp(target, "socket:", 7) == 0;
    }
    if (directory) closedir(directory);
    return found;
}

/* Waits for the first rank that is in the middle of a load, and kills it, or stops it for some seconds. */
static void disturb_a_loader(int host, enum victim how) {
    wait_for_round(1);
    for (int64_t end = now_ns() + (int64_t)60e9; now_ns() < end;) {
        int finished = 0;
        for (int i = 0; i < options.ranks; i++) {
            struct rank *rank = rank_of(host, i);
            finished += rank->finished >= 1 || rank->dead;
            if (rank->finished >= 1 || rank->dead || !has_socket(rank->pid)) continue;
            rank->victim = how;
            kill(rank->pid, how == VICTIM_KILLED ? SIGKILL : SIGSTOP);
            if (how == VICTIM_KILLED) return;
            sleep_seconds(options.stop_seconds);
            kill(rank->pid, SIGCONT);
            return;
        }
        if (finished == options.ranks) return;
        sleep_seconds(0.001);
    }
}

int start_child(void) {
    int parent = getpid(), pid = fork();
    if (pid < 0) die("fork");
    /* If the parent ended before this call, it is not reported. */
    if (pid == 0 && (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent)) _exit(2);
    return pid;
}

static void start_rank(int host, int index, bool is_intruder) {
    int pid = start_child();
    if (pid == 0) rank_main(host, index, is_intruder);
    rank_of(host, index)->pid = pid;
}

/* Disturbs a loader from a process of its own: the host waits for its ranks meanwhile. */
static void start_disturbance(int host, enum victim how) {
    if (start_child() != 0) return;
    disturb_a_loader(host, how);
    _exit(0);
}

/* Fills the share of the host before its ranks start, as a launcher does. */
static void warm_host(int host) {
    int pid = start_child(), status;
    if (pid == 0) _exit(warm_up(host) == ST_OK ? 0 : 1);
    if (waitpid(pid, &status, 0) != pid || status != 0) fprintf(stderr, "host %d is not warm\n", host);
}

void host_main(int host) {
    for (int i = 0; i < options.environment_count; i++)
        if (setenv(options.environment[i].name, expand(options.environment[i].value, host), 1)) die("setenv");
    if (options.share_base) prepare_directory(host);
    if (options.warm) warm_host(host);
    for (int i = 0; i < options.ranks; i++) start_rank(host, i, false);
    if (options.intruder != INTRUDER_NONE) start_rank(host, options.ranks, true);
    if (is_chosen(host, options.kill, 0)) start_disturbance(host, VICTIM_KILLED);
    if (is_chosen(host, options.stop, 1)) start_disturbance(host, VICTIM_STOPPED);
    int status;
    for (int pid; (pid = wait(&status)) > 0;) {
        for (int i = 0; i <= options.ranks; i++) {
            struct rank *rank = rank_of(host, i);
            if (rank->pid != pid) continue;
            /* A rank that ends early by itself has failed, too. */
            rank->dead = status == 0 && rank->finished < options.rounds ? -1 : status;
        }
    }
    _exit(0);
}
