/* Checks of the C++ tests, in addition to those of the C tests. */
#ifndef CHECK_HPP
#define CHECK_HPP

#include <st_secrets.hpp>

#include "../c/check.h"

/* The expression throws an st::Error with this status, whose message contains this word and no secret. */
#define THROWS(expression, expected, word) \
    do { \
        bool check_thrown = false; \
        try { \
            (void)(expression); \
        } catch (const st::Error &check_error) { \
            check_thrown = true; \
            check_error_is(__FILE__, __LINE__, check_error.status(), check_error.what(), expected, word); \
        } \
        if (!check_thrown) { \
            check_failed(__FILE__, __LINE__, "%s did not throw", #expression); \
        } \
    } while (0)

#define NOTHING_THROWN() check_failed(__FILE__, __LINE__, "nothing was thrown")

/* The expression returns a failure with this status, whose message contains this word and no secret. */
#define FAILS(expression, expected, word) \
    do { \
        const auto &check_result = (expression); \
        CHECK(!check_result.ok() && !check_result); \
        check_error_is(__FILE__, __LINE__, check_result.status(), check_result.error().message(), expected, word); \
    } while (0)

inline void check_error_is(const char *file, int line, st::Status status, const char *message, st::Status expected,
                           const char *word) {
    if (status != expected || std::strstr(message, word) == nullptr || std::strstr(message, "CANARY") != nullptr) {
        check_failed(file, line, "%s: \"%s\", not %s with \"%s\"", st::name(status), message, st::name(expected), word);
    }
}

/* A range that creates each string on the fly, as C++20 views do. The strings are too long for the small-string
 * optimization. */
struct MadeTexts {
    struct Iterator {
        int number;
        std::string operator*() const { return "CANARY_OF_A_RANGE_THAT_MAKES_ITS_TEXTS_" + std::to_string(number); }
        Iterator &operator++() { return number++, *this; }
        bool operator!=(const Iterator &other) const { return number != other.number; }
    };
    Iterator begin() const { return {0}; }
    Iterator end() const { return {2}; }
};

#endif
