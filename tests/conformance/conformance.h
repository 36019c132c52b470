/*
 * What the runners in C and C++ have in common: the table that table.py makes of tests/vectors/conformance.json, the folder
 * of a case, and the comparison of what came out with what has to.
 *
 * A runner defines `run_case`, which does the steps of one case in a process of its own.
 */
#ifndef CONFORMANCE_H
#define CONFORMANCE_H

#include <math.h>
#include <sys/wait.h>

#include "../c/check.h"

/* Any bytes; NULL where the table has none. */
typedef struct text {
    const char *data;
    size_t len;
} text;

/* What a call tells beside its value, NAN where it does not. */
enum fact { SOURCE, INFO, EXISTED, COUNT, LENGTH, CHANGED, LOADED, FAILED, ENTRIES, MAX_SIZE, EVICTIONS, DEFAULT_TTL, FACTS };

typedef struct expectation {
    st_status status;
    text value;
    text layer;
    double facts[FACTS];
} expectation;

typedef struct answer {
    text key;
    text value;
    st_status status;
} answer;

typedef struct step {
    const char *action;
    text key;
    text value;
    double number;
    uint32_t flags;
    size_t position;
    const text *keys;
    const answer *answers;
    size_t count;
    expectation expect;
    const expectation *results;
} step;

/* A setting; or a file, with its mode. */
typedef struct entry {
    const char *name;
    text value;
    unsigned mode;
} entry;

typedef struct example {
    const char *name;
    const entry *env;
    size_t env_count;
    const entry *files;
    size_t file_count;
    const char *open;
    const entry *settings;
    size_t setting_count;
    double default_ttl, max_size, cleanup_interval;
    expectation opened;
    const step *steps;
    size_t step_count;
} example;

#include "conformance_table.h"

/* What came out of a step. */
typedef struct outcome {
    st_status status;
    char value[1 << 14];
    size_t len;
    char layer[32];
    double facts[FACTS];
} outcome;

static void run_case(const example *example);

static inline void clear_outcome(outcome *outcome) {
    outcome->status = ST_OK;
    outcome->len = 0;
    outcome->layer[0] = 0;
    for (int fact = 0; fact < FACTS; fact++) {
        outcome->facts[fact] = NAN;
    }
}

static inline void put_value(outcome *outcome, const void *data, size_t len) {
    CHECK(len <= sizeof outcome->value);
    if (len != 0) {
        memcpy(outcome->value, data, len);
    }
    outcome->len = len;
}

/* `$DIR` and `$HOME` at the beginning of a text are the folder of the case and the home in it. */
static inline text expanded(text given) {
    static char places[4][PATH_MAX];
    static unsigned next;
    int is_dir = given.data != NULL && strncmp(given.data, "$DIR", 4) == 0;
    int is_home = given.data != NULL && strncmp(given.data, "$HOME", 5) == 0;
    if (!is_dir && !is_home) {
        return given;
    }
    char *place = places[next++ % 4];
    const char *folder = is_dir ? check_scratch : getenv("HOME");
    int len = snprintf(place, PATH_MAX, "%s%s", folder, given.data + (is_dir ? 4 : 5));
    text result = {place, (size_t)len};
    return result;
}

/* A path in the folder of the case, unless it says where it is. */
static inline const char *located(text path) {
    return path.data[0] == '$' ? expanded(path).data : path_of(path.data);
}

static inline void write_entry(const entry *file) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s", path_of(file->name));
    for (char *slash = strchr(path + strlen(check_scratch) + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdir(path, 0700);
        *slash = '/';
    }
    FILE *opened = fopen(path, "w");
    CHECK(opened != NULL && chmod(path, (mode_t)file->mode) == 0);
    CHECK(fwrite(file->value.data, 1, file->value.len, opened) == file->value.len && fclose(opened) == 0);
}

/* Steps that have nothing to do with the library; 0 if this is not one of them. */
static inline int plain_step(const step *step, outcome *outcome) {
    if (strcmp(step->action, "env.set") == 0) {
        CHECK((step->value.data == NULL ? unsetenv(step->key.data) : setenv(step->key.data, step->value.data, 1)) == 0);
    } else if (strcmp(step->action, "sleep") == 0) {
        usleep((useconds_t)(step->number * 1e6));
    } else if (strcmp(step->action, "file.write") == 0) {
        entry file = {step->key.data, step->value, step->flags};
        write_entry(&file);
    } else if (strcmp(step->action, "file.read") == 0) {
        FILE *opened = fopen(located(step->key), "r");
        CHECK(opened != NULL);
        outcome->len = fread(outcome->value, 1, sizeof outcome->value, opened);
        fclose(opened);
    } else if (strcmp(step->action, "file.mode") == 0) {
        struct stat state;
        CHECK(stat(located(step->key), &state) == 0);
        outcome->len = (size_t)snprintf(outcome->value, sizeof outcome->value, "%o", (unsigned)state.st_mode & 0777u);
    } else {
        return 0;
    }
    return 1;
}

static inline void check_outcome(const char *where, const char *action, const expectation *expect, const outcome *outcome) {
    static const char *const names[] = {"source", "info",    "existed",  "count",     "length",     "changed",
                                        "loaded", "failed", "entries", "max_size", "evictions", "default_ttl"};
    text value = expanded(expect->value);
    int fails = expect->facts[FAILED] == 1.0;
    if (fails ? outcome->status == ST_OK : outcome->status != expect->status) {
        check_failed(__FILE__, __LINE__, "%s: %s gave %s, not %s", where, action, st_status_name(outcome->status),
                     fails ? "a failure" : st_status_name(expect->status));
    }
    if (value.data != NULL && (value.len != outcome->len || memcmp(value.data, outcome->value, value.len) != 0)) {
        check_failed(__FILE__, __LINE__, "%s: %s gave \"%.*s\", not \"%.*s\"", where, action, (int)outcome->len,
                     outcome->value, (int)value.len, value.data);
    }
    if (expect->layer.data != NULL && strcmp(expect->layer.data, outcome->layer) != 0) {
        check_failed(__FILE__, __LINE__, "%s: %s found it in %s, not %s", where, action, outcome->layer,
                     expect->layer.data);
    }
    for (int fact = 0; fact < FACTS; fact++) {
        if (fact != FAILED && !isnan(expect->facts[fact]) && !(expect->facts[fact] == outcome->facts[fact])) {
            check_failed(__FILE__, __LINE__, "%s: %s: %s is %g, not %g", where, action, names[fact],
                         outcome->facts[fact], expect->facts[fact]);
        }
    }
}

static inline int run_in_a_child(const example *example) {
    fflush(NULL);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        begin();
        CHECK(mkdir(path_of("home"), 0700) == 0 && setenv("HOME", path_of("home"), 1) == 0);
        for (size_t i = 0; i < example->env_count; i++) {
            setenv(example->env[i].name, example->env[i].value.data, 1);
        }
        for (size_t i = 0; i < example->file_count; i++) {
            write_entry(&example->files[i]);
        }
        run_case(example);
        exit(0);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

int main(void) {
    size_t failed = 0, count = sizeof examples / sizeof *examples, steps = 0;
    for (size_t i = 0; i < count; i++) {
        steps += examples[i].step_count;
        if (!run_in_a_child(&examples[i])) {
            fprintf(stderr, "failed: %s\n", examples[i].name);
            failed++;
        }
    }
    printf("%zu cases with %zu steps, %zu failed\n", count, steps, failed);
    return failed == 0 && count > 0 ? 0 : 1;
}

#endif
