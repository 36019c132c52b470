/*
 * The threads for calls with a promise. libuv has four threads for the whole process: four calls that wait for a server
 * would block file access, name resolution and cryptography. These threads start as needed and end after some idle
 * seconds.
 *
 * Local calls do not wait for threads that servers keep busy.
 */
#include <signal.h>
#include <time.h>

#include "addon.h"

enum { MOST_THREADS = 64, STACK_SIZE = 2 << 20 };
static const time_t IDLE_SECONDS = 5;

typedef struct {
    pthread_cond_t work;
    call *first, *last;
    unsigned waiting_calls, threads, idle;
} pool;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pool pools[PACES] = {
    [LOCAL] = {.work = PTHREAD_COND_INITIALIZER},
    [REMOTE] = {.work = PTHREAD_COND_INITIALIZER},
};

static pool *pool_of(const call *call) {
    return &pools[call->operation->pace];
}

double seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void *work_off(void *context) {
    pool *pool = context;
    pthread_mutex_lock(&lock);
    for (;;) {
        struct timespec until;
        // glibc 2.28 and musl wait by no other clock here. If it is set, idle threads end sooner or later.
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += IDLE_SECONDS;
        int waited = 0;
        pool->idle++;
        while (pool->first == NULL && waited == 0) {
            waited = pthread_cond_timedwait(&pool->work, &lock, &until);
        }
        pool->idle--;
        if (pool->first == NULL) break;
        call *next = pool->first;
        pool->first = next->next_queued;
        if (pool->first == NULL) pool->last = NULL;
        pool->waiting_calls--;
        pthread_mutex_unlock(&lock);
        call_make(next);
        pthread_mutex_lock(&lock);
    }
    pool->threads--;
    pthread_mutex_unlock(&lock);
    return NULL;
}

/* The caller holds the lock. */
static void start_thread(pool *pool) {
    pthread_t thread;
    pthread_attr_t attributes;
    sigset_t all, before;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK_SIZE);
    /* Signals are for Node's own threads. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (pthread_create(&thread, &attributes, work_off, pool) == 0) pool->threads++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
}

bool pool_submit(call *call) {
    pool *pool = pool_of(call);
    pthread_mutex_lock(&lock);
    if (pool->waiting_calls >= pool->idle && pool->threads < MOST_THREADS) start_thread(pool);
    bool good = pool->threads > 0;
    if (good) {
        call->next_queued = NULL;
        if (pool->last != NULL) pool->last->next_queued = call;
        else pool->first = call;
        pool->last = call;
        pool->waiting_calls++;
        pthread_cond_signal(&pool->work);
    }
    pthread_mutex_unlock(&lock);
    return good;
}

bool pool_withdraw(call *wanted) {
    pool *pool = pool_of(wanted);
    pthread_mutex_lock(&lock);
    call **place = &pool->first, *before = NULL;
    while (*place != NULL && *place != wanted) {
        before = *place;
        place = &before->next_queued;
    }
    bool found = *place != NULL;
    if (found) {
        *place = wanted->next_queued;
        if (pool->last == wanted) pool->last = before;
        pool->waiting_calls--;
    }
    pthread_mutex_unlock(&lock);
    return found;
}
