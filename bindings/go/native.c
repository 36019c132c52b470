#include <math.h>
#include <stdlib.h>

#include "native.h"
#include "_cgo_export.h"

static st_status provider(void *context, const char *key, size_t key_len, double timeout, st_reply *reply) {
    return st_go_provider(context, (char *)key, key_len, timeout, reply);
}

st_status st_go_secrets_add_provider(const st_secrets *secrets, const char *name, size_t name_len, size_t position,
                                     uintptr_t function, st_error *error) {
    return st_secrets_add_provider(secrets, name, name_len, position, provider, st_go_drop, (void *)function, error);
}

static void log_message(void *context, int32_t level, const char *target, const char *message, size_t len,
                        const st_log_field *fields, size_t count) {
    st_go_log(context, level, (char *)target, (char *)message, len, (st_log_field *)fields, count);
}

st_status st_go_log_set(int32_t max_level, uintptr_t logger, st_error *error) {
    return st_log_set_fields(max_level, log_message, st_go_drop, (void *)logger, error);
}

st_status st_go_credentials_reencrypt(const st_store *store, const st_cipher *cipher, uint32_t flags,
                                      uintptr_t progress, st_bytes *report, st_error *error) {
    return st_credentials_reencrypt(store, cipher, flags, progress ? st_go_progress : NULL, (void *)progress, report,
                                    error);
}

static void load_ended(void *context, const st_bytes *value, void *object, const st_error *error) {
    st_go_load_ended(context, (st_bytes *)value, object, (st_error *)error);
}

st_status st_go_cache_load_begin(const st_cache *cache, const char *key, size_t key_len, uintptr_t waiting,
                                 int32_t *outcome, st_bytes *value, uint64_t *lease, uint64_t *waiter,
                                 st_error *error) {
    return st_cache_load_begin_notify(cache, key, key_len, INFINITY, load_ended, (void *)waiting, outcome, value, lease,
                                      waiter, error);
}

/* An st_drop_fn: adds the entry to the list of dropped ones, from any thread. */
static void entry_drop(void *object) {
    st_go_entry *entry = object;
    entry->next = __atomic_load_n(&entry->dropped->first, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(&entry->dropped->first, &entry->next, entry, 1, __ATOMIC_RELEASE,
                                        __ATOMIC_RELAXED)) {
    }
}

/* Ends the process if a few bytes cannot be allocated, as Go and the library do. */
static void *must(void *memory) {
    if (!memory) {
        abort();
    }
    return memory;
}

st_go_dropped *st_go_dropped_new(void) {
    return must(calloc(1, sizeof(st_go_dropped)));
}

void st_go_dropped_free(st_go_dropped *dropped) {
    if (dropped) {
        st_go_entries_free(dropped->first);
        free(dropped);
    }
}

void st_go_entries_free(st_go_entry *first) {
    while (first) {
        st_go_entry *next = first->next;
        free(first);
        first = next;
    }
}

uint64_t st_go_cache_number(uintptr_t cache, const char *key, size_t key_len) {
    st_object object = {0};
    if (st_cache_get_object((const st_cache *)cache, key, key_len, &object, NULL) != ST_OK) {
        return 0;
    }
    uint64_t number = ((st_go_entry *)object.object)->number;
    st_object_free(&object);
    return number;
}

st_status st_go_cache_finish_number(const st_cache *cache, uint64_t lease, uint64_t number, st_go_dropped *dropped,
                                    double ttl, st_error *error) {
    st_go_entry *entry = must(malloc(sizeof *entry));
    *entry = (st_go_entry){.dropped = dropped, .number = number};
    return st_cache_load_finish_object(cache, lease, entry, entry_drop, ttl, error);
}
