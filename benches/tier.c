/*
 * Prints the time of a hit of a cache, of the same with a tier, of a lookup in the tier, and of a bare GET of the same
 * size on a connection to the same Redis, which reads as everything with a deadline does: when the socket is readable.
 * Minimum and median of rounds, which alternate.
 *   tier PORT KEY    KEY is the setting `share_key`
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "measure.h"
#include "st_secrets.h"

enum { ROUNDS = 41, HITS = 200000, LOOKUPS = 1000, SIZE = 64, SEALED = 120 + SIZE + 16 };

static void fail(const char *what) {
    fprintf(stderr, "tier: %s\n", what);
    exit(1);
}

static st_cache *open_cache(const char *port, const char *key, int max_size) {
    char settings[512];
    st_error error = ST_ERROR_INIT;
    st_config *config = st_config_new();
    st_cache *cache = NULL;
    int len = port == NULL ? snprintf(settings, sizeof settings, "{\"max_size\": %d}", max_size)
                           : snprintf(settings, sizeof settings,
                                      "{\"max_size\": %d, \"tier\": \"redis://127.0.0.1:%s\", \"share_key\": \"%s\"}",
                                      max_size, port, key);
    if (st_config_parse(config, settings, (size_t)len, &error) != ST_OK ||
        st_cache_open(config, &cache, &error) != ST_OK) {
        fail(error.message);
    }
    st_config_free(config);
    return cache;
}

static void look_up(const st_cache *cache) {
    char buffer[SIZE];
    size_t len;
    if (st_cache_get_into(cache, "key", 3, buffer, sizeof buffer, &len, NULL) != ST_OK) {
        fail("the cache has no value");
    }
}

static double per_call(const st_cache *cache, int calls) {
    double start = now();
    for (int i = 0; i < calls; i++) {
        look_up(cache);
    }
    return (now() - start) / calls;
}

static int connect_to(const char *port) {
    int one = 1, to = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(to, (struct sockaddr *)&address, sizeof address) != 0) {
        fail("Redis does not listen");
    }
    setsockopt(to, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(to, F_SETFL, O_NONBLOCK);
    return to;
}

static void exchange(int to, const char *command, size_t len, size_t answer) {
    char buffer[1024];
    if (write(to, command, len) != (ssize_t)len) {
        fail("Redis does not read");
    }
    for (size_t got = 0; got < answer;) {
        ssize_t count = read(to, buffer, sizeof buffer);
        if (count > 0) {
            got += (size_t)count;
        } else if (poll(&(struct pollfd){.fd = to, .events = POLLIN}, 1, 1000) != 1) {
            fail("Redis does not answer");
        }
    }
}

static double per_get(int to) {
    static const char get[] = "*2\r\n$3\r\nGET\r\n$4\r\nbare\r\n";
    double start = now();
    for (int i = 0; i < LOOKUPS; i++) {
        exchange(to, get, sizeof get - 1, SEALED + 8);
    }
    return (now() - start) / LOOKUPS;
}

static void report(const char *what, double *rounds, double divisor, const char *unit) {
    sort(rounds, ROUNDS);
    printf("%-44s %8.1f %s (median %.1f)\n", what, rounds[0] / divisor, unit, rounds[ROUNDS / 2] / divisor);
}

int main(int count, char **arguments) {
    static double plain[ROUNDS], near_hit[ROUNDS], remote[ROUNDS], bare[ROUNDS], ratios[ROUNDS];
    char command[512], value[SEALED];
    if (count != 3) {
        fail("usage: tier PORT KEY");
    }
    st_cache *caches[] = {open_cache(NULL, NULL, 1000), open_cache(arguments[1], arguments[2], 1000),
                          open_cache(arguments[1], arguments[2], 0)};
    memset(value, 'x', sizeof value);
    for (int i = 0; i < 2; i++) {
        st_cache_set(caches[i], "key", 3, value, SIZE, ST_TTL_DEFAULT, NULL);
    }
    int to = connect_to(arguments[1]);
    int len =
        snprintf(command, sizeof command, "*3\r\n$3\r\nSET\r\n$4\r\nbare\r\n$%d\r\n%.*s\r\n", SEALED, SEALED, value);
    exchange(to, command, (size_t)len, 5);
    for (int round = 0; round < ROUNDS; round++) {
        plain[round] = per_call(caches[0], HITS);
        near_hit[round] = per_call(caches[1], HITS);
        remote[round] = per_call(caches[2], LOOKUPS);
        bare[round] = per_get(to);
        ratios[round] = remote[round] / bare[round];
    }
    report("hit of a cache", plain, 1, "ns");
    report("hit of a cache with a tier", near_hit, 1, "ns");
    report("bare GET of Redis", bare, 1e3, "us");
    report("lookup in the tier", remote, 1e3, "us");
    report("  ratio in a round", ratios, 1, "times");
    for (int i = 0; i < 3; i++) {
        st_cache_free(caches[i]);
    }
    close(to);
    return 0;
}
