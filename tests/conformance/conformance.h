/*
 * Shared by the runners in C and C++: the table that table.py generates from tests/vectors/conformance.json, the
 * directory of a case, and the comparison of results with the expected ones.
 *
 * A runner defines `run_case`, which runs the steps of one case in its own process.
 */
#ifndef CONFORMANCE_H
#define CONFORMANCE_H

#include <math.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "../c/check.h"

/* Arbitrary bytes; NULL if the table has none. */
typedef struct text {
    const char *data;
    size_t len;
} text;

/* A named argument or result: a text or a number. */
typedef struct field {
    const char *name;
    text value;
    double number;
} field;

typedef struct fields {
    const field *first;
    size_t count;
} fields;

typedef struct expectation {
    st_status status;
    /* Any failure is accepted. */
    int fails;
    text value;
    text provider;
    fields facts;
} expectation;

/* The answer of a provider or loader for a key, or for all keys. */
typedef struct answer {
    text key;
    text value;
    st_status status;
} answer;

typedef struct step {
    const char *action;
    fields given;
    const text *keys;
    size_t key_count;
    const answer *answers;
    size_t answer_count;
    expectation expect;
    const expectation *results;
} step;

/* An object to open, with its settings. */
typedef struct opening {
    const char *kind;
    fields settings;
} opening;

typedef struct example {
    const char *name;
    int needs_servers;
    fields env;
    /* Their numbers are their modes. */
    fields files;
    const opening *open;
    size_t open_count;
    expectation opened;
    const step *steps;
    size_t step_count;
} example;

#include "conformance_table.h"

/* The result of a step. */
typedef struct outcome {
    st_status status;
    char value[1 << 14];
    size_t len;
    char provider[32];
    field facts[8];
    size_t fact_count;
} outcome;

static void run_case(const example *example);

static inline void clear_outcome(outcome *out) {
    out->status = ST_OK;
    out->len = 0;
    out->provider[0] = 0;
    out->fact_count = 0;
}

static inline void put_value(outcome *out, const void *data, size_t len) {
    CHECK(len <= sizeof out->value);
    if (len != 0) {
        memcpy(out->value, data, len);
    }
    out->len = len;
}

static inline void add_fact(outcome *out, const char *name, double number) {
    CHECK(out->fact_count < sizeof out->facts / sizeof *out->facts);
    field fact = {name, {NULL, 0}, number};
    out->facts[out->fact_count++] = fact;
}

static inline const field *look_up(fields in, const char *name) {
    for (size_t i = 0; i < in.count; i++) {
        if (strcmp(in.first[i].name, name) == 0) {
            return &in.first[i];
        }
    }
    return NULL;
}

/* Replaces `$DIR`, `$HOME` and the names of the servers' variables at the start of a text. */
static inline text expanded(text given) {
    static char places[8][PATH_MAX];
    static unsigned next;
    if (given.data == NULL || given.data[0] != '$') {
        return given;
    }
    char *place = places[next++ % 8], name[64] = "CONFORMANCE_";
    size_t len = strspn(given.data + 1, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_");
    CHECK(len > 0 && len < 40);
    strncat(name, given.data + 1, len);
    const char *known = strcmp(name, "CONFORMANCE_DIR") == 0    ? check_scratch
                        : strcmp(name, "CONFORMANCE_HOME") == 0 ? getenv("HOME")
                                                                : getenv(name);
    if (known == NULL) {
        check_failed(__FILE__, __LINE__, "%s is not set", name);
    }
    text result = {place, (size_t)snprintf(place, PATH_MAX, "%s%s", known, given.data + 1 + len)};
    return result;
}

/* Returns a text or a number that a step is given; NULL or the other number if it is missing. */
static inline text given(const step *step, const char *name) {
    static const text none = {NULL, 0};
    const field *found = look_up(step->given, name);
    return found == NULL ? none : expanded(found->value);
}

static inline double given_number(const step *step, const char *name, double otherwise) {
    const field *found = look_up(step->given, name);
    return found == NULL ? otherwise : found->number;
}

/* Writes the ids of the entries in an answer of the audit trail, as text. */
static inline void put_ids(outcome *out, const char *json) {
    out->len = 0;
    for (const char *id = strstr(json, "\"id\":"); id != NULL; id = strstr(id + 1, "\"id\":")) {
        out->len += (size_t)snprintf(out->value + out->len, sizeof out->value - out->len,
                                     out->len == 0 ? "%ld" : " %ld", strtol(id + strlen("\"id\":"), NULL, 10));
    }
}

/* A path in the directory of the case, unless it is absolute. */
static inline const char *located(text path) { return path.data[0] == '/' ? path.data : path_of(path.data); }

static inline void write_case_file(const char *name, text content, unsigned mode) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s", path_of(name));
    for (char *slash = strchr(path + strlen(check_scratch) + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdir(path, 0700);
        *slash = '/';
    }
    FILE *opened = fopen(path, "w");
    CHECK(opened != NULL && chmod(path, (mode_t)mode) == 0);
    CHECK(fwrite(content.data, 1, content.len, opened) == content.len && fclose(opened) == 0);
}

/* Returns how many requests AWS has logged since the last call. */
static inline size_t aws_requests(void) {
    static size_t before;
    size_t all = 0;
    char line[1024];
    FILE *log = fopen(getenv("CONFORMANCE_AWS_LOG"), "r");
    CHECK(log != NULL);
    while (fgets(line, sizeof line, log) != NULL) {
        all += strstr(line, "\"POST / HTTP/1.1\"") != NULL;
    }
    fclose(log);
    size_t since = all - before;
    before = all;
    return since;
}

/* Writes the setting `share` and the number of documents that are shared. */
static inline void put_share(outcome *out, const char *json) {
    const char *share = strstr(json, "\"share\": \"");
    size_t count = 0;
    CHECK(share != NULL);
    share += strlen("\"share\": \"");
    put_value(out, share, strcspn(share, "\""));
    for (const char *id = strstr(json, "\"id\":"); id != NULL; id = strstr(id + 1, "\"id\":")) {
        count++;
    }
    add_fact(out, "count", (double)count);
}

/* Steps that do not use the library; 0 if this is not one of them. */
static inline int plain_step(const step *step, outcome *out) {
    if (strcmp(step->action, "env.set") == 0) {
        text value = given(step, "value");
        const char *name = given(step, "name").data;
        CHECK((value.data == NULL ? unsetenv(name) : setenv(name, value.data, 1)) == 0);
    } else if (strcmp(step->action, "sleep") == 0) {
        usleep((useconds_t)(given_number(step, "seconds", 0) * 1e6));
    } else if (strcmp(step->action, "file.write") == 0) {
        write_case_file(given(step, "path").data, given(step, "text"), (unsigned)given_number(step, "mode", 0));
    } else if (strcmp(step->action, "file.read") == 0) {
        FILE *opened = fopen(located(given(step, "path")), "r");
        CHECK(opened != NULL);
        out->len = fread(out->value, 1, sizeof out->value, opened);
        fclose(opened);
    } else if (strcmp(step->action, "file.mode") == 0) {
        struct stat state;
        CHECK(stat(located(given(step, "path")), &state) == 0);
        out->len = (size_t)snprintf(out->value, sizeof out->value, "%o", (unsigned)state.st_mode & 0777u);
    } else if (strcmp(step->action, "aws.requests") == 0) {
        add_fact(out, "count", (double)aws_requests());
    } else {
        return 0;
    }
    return 1;
}

static inline void check_facts(const char *where, const char *action, fields expected, const outcome *out) {
    fields facts = {out->facts, out->fact_count};
    for (size_t i = 0; i < expected.count; i++) {
        const field *fact = look_up(facts, expected.first[i].name);
        if (fact == NULL || fabs(fact->number - expected.first[i].number) > 1e-9) {
            check_failed(__FILE__, __LINE__, "%s: %s: %s is %g, not %g", where, action, expected.first[i].name,
                         fact == NULL ? NAN : fact->number, expected.first[i].number);
        }
    }
}

static inline void check_outcome(const char *where, const char *action, const expectation *expect, const outcome *out) {
    text value = expanded(expect->value);
    if (expect->fails ? out->status == ST_OK : out->status != expect->status) {
        check_failed(__FILE__, __LINE__, "%s: %s gave %s, not %s", where, action, st_status_name(out->status),
                     expect->fails ? "a failure" : st_status_name(expect->status));
    }
    if (value.data != NULL && (value.len != out->len || memcmp(value.data, out->value, value.len) != 0)) {
        check_failed(__FILE__, __LINE__, "%s: %s gave \"%.*s\", not \"%.*s\"", where, action, (int)out->len, out->value,
                     (int)value.len, value.data);
    }
    if (expect->provider.data != NULL && strcmp(expect->provider.data, out->provider) != 0) {
        check_failed(__FILE__, __LINE__, "%s: %s found it in %s, not %s", where, action, out->provider,
                     expect->provider.data);
    }
    check_facts(where, action, expect->facts, out);
}

/* Runs a step in another process: a forked one, which opens a manager of its own. */
static inline void in_another_process(void (*run)(void *context, const step *step, outcome *out), void *context,
                                      const step *step, outcome *out) {
    void *shared = mmap(NULL, sizeof *out, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        run(context, step, (outcome *)shared);
        _exit(0);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    memcpy(out, shared, sizeof *out);
    munmap(shared, sizeof *out);
}

static inline void prepare_case(const example *example) {
    begin();
    CHECK(mkdir(path_of("home"), 0700) == 0 && setenv("HOME", path_of("home"), 1) == 0);
    for (size_t i = 0; i < example->env.count; i++) {
        setenv(example->env.first[i].name, expanded(example->env.first[i].value).data, 1);
    }
    for (size_t i = 0; i < example->files.count; i++) {
        const field *file = &example->files.first[i];
        write_case_file(file->name, file->value, (unsigned)file->number);
    }
}

static inline int run_in_a_child(const example *example) {
    fflush(NULL);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        prepare_case(example);
        run_case(example);
        exit(0);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Cases that need servers run only under tests/python/conformance_servers.py, and the others only without it. */
int main(void) {
    int with_servers = getenv("CONFORMANCE_AWS_URL") != NULL;
    size_t failed = 0, count = 0;
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        if (examples[i].needs_servers == with_servers) {
            count++;
            if (!run_in_a_child(&examples[i])) {
                fprintf(stderr, "failed: %s\n", examples[i].name);
                failed++;
            }
        }
    }
    printf("%zu cases, %zu failed\n", count, failed);
    return failed == 0 && count > 0 ? 0 : 1;
}

#endif
