/*
 * The threads on which calls with a promise are made. Those of libuv are four, for the whole process: four calls that
 * wait for a server would stop its files, its name look-ups and its cryptography. Ours come as they are needed and go
 * after some seconds without work.
 */
#include <signal.h>
#include <time.h>

#include "addon.h"

enum { MOST_THREADS = 64, STACK_SIZE = 2 << 20 };
static const time_t IDLE_SECONDS = 5;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t work = PTHREAD_COND_INITIALIZER;
static call *first, *last;
static unsigned waiting_calls, threads, idle;

double seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void *work_off(void *nothing) {
    pthread_mutex_lock(&lock);
    for (;;) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += IDLE_SECONDS;
        int waited = 0;
        idle++;
        while (first == NULL && waited == 0) waited = pthread_cond_clockwait(&work, &lock, CLOCK_MONOTONIC, &until);
        idle--;
        if (first == NULL) break;
        call *next = first;
        first = next->next_queued;
        if (first == NULL) last = NULL;
        waiting_calls--;
        pthread_mutex_unlock(&lock);
        call_make(next);
        pthread_mutex_lock(&lock);
    }
    threads--;
    pthread_mutex_unlock(&lock);
    return nothing;
}

/* The caller holds the lock. */
static void start_thread(void) {
    pthread_t thread;
    pthread_attr_t attributes;
    sigset_t all, before;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK_SIZE);
    /* Signals are for Node's own threads. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (pthread_create(&thread, &attributes, work_off, NULL) == 0) threads++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
}

bool pool_submit(call *call) {
    pthread_mutex_lock(&lock);
    if (waiting_calls >= idle && threads < MOST_THREADS) start_thread();
    bool good = threads > 0;
    if (good) {
        call->next_queued = NULL;
        if (last != NULL) last->next_queued = call;
        else first = call;
        last = call;
        waiting_calls++;
        pthread_cond_signal(&work);
    }
    pthread_mutex_unlock(&lock);
    return good;
}

bool pool_withdraw(call *wanted) {
    pthread_mutex_lock(&lock);
    call **place = &first, *before = NULL;
    while (*place != NULL && *place != wanted) {
        before = *place;
        place = &before->next_queued;
    }
    bool found = *place != NULL;
    if (found) {
        *place = wanted->next_queued;
        if (last == wanted) last = before;
        waiting_calls--;
    }
    pthread_mutex_unlock(&lock);
    return found;
}
