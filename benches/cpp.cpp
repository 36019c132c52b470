// Measures the cost of the C++ wrapper: each call in C and C++ alternately, the minimum of many rounds.
// usage: cpp (with IN_ENVIRONMENT set)
#include <st_secrets.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

enum { ROUNDS = 200, CALLS = 2000 };

volatile unsigned char sink;

void check(bool good) {
    if (!good) {
        std::abort();
    }
}

template <class Call>
double nanoseconds(Call &&call) {
    auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < CALLS; i++) {
        call();
    }
    return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start).count() / CALLS;
}

template <class C, class Cpp>
void compare(const char *name, C &&in_c, Cpp &&in_cpp) {
    double c = 1e18, cpp = 1e18;
    for (int round = 0; round < ROUNDS; round++) {
        c = std::min(c, nanoseconds(in_c));
        cpp = std::min(cpp, nanoseconds(in_cpp));
    }
    std::printf("%-44s %8.1f ns in C %8.1f ns in C++ %+7.1f ns\n", name, c, cpp, cpp - c);
}

void compare_cache(const st::Cache &cache) {
    const std::string key(32, 'k'), value(64, 'v');
    const st_cache *raw = cache.raw();
    cache.set(key, value);
    cache.set_object("object", value);
    char buffer[128];
    compare(
        "a cache hit, as bytes",
        [&] {
            st_bytes found;
            check(st_cache_get(raw, key.data(), key.size(), &found, nullptr) == ST_OK);
            sink = found.data[0];
            st_bytes_free(&found);
        },
        [&] { sink = cache.get(key)->data()[0]; });
    compare(
        "a cache hit, into a buffer",
        [&] {
            std::size_t len = 0;
            check(st_cache_get_into(raw, key.data(), key.size(), buffer, sizeof buffer, &len, nullptr) == ST_OK);
            sink = static_cast<unsigned char>(buffer[len - 1]);
        },
        [&] { sink = static_cast<unsigned char>(buffer[*cache.get_into(key, buffer, sizeof buffer) - 1]); });
    compare(
        "a cache hit, as an object",
        [&] {
            st_object found;
            check(st_cache_get_object(raw, "object", 6, &found, nullptr) == ST_OK && found.object != nullptr);
            st_object_free(&found);
        },
        [&] { sink = static_cast<unsigned char>(cache.get_object<std::string>("object")->front()); });
    compare(
        "a cache miss",
        [&] {
            st_bytes found;
            check(st_cache_get(raw, "nowhere", 7, &found, nullptr) == ST_NOT_FOUND);
        },
        [&] { check(!cache.get("nowhere").has_value()); });
    compare(
        "a cache set",
        [&] {
            check(st_cache_set(raw, key.data(), key.size(), value.data(), value.size(), ST_TTL_DEFAULT, nullptr) ==
                  ST_OK);
        },
        [&] { cache.set(key, value); });
    auto square = st::cached([](int n) { return n * n; }, {"square", "bench"});
    compare(
        "a cached function, and the function itself", [] { sink = 49; },
        [&] { sink = static_cast<unsigned char>(square(7)); });
}

} // namespace

int main() {
    st::Secrets secrets = st::Secrets::open(st::Config().providers({"env"}));
    secrets.add_provider("mine", [](std::string_view) { return "a value of a provider that is remembered"; });
    const char *in_environment = "IN_ENVIRONMENT";
    compare(
        "an empty call", [] { check(st_abi_version() == ST_ABI_VERSION); },
        [] { check(st::abi_version() == ST_ABI_VERSION); });
    for (const char *key : {in_environment, "REMEMBERED"}) {
        compare(
            key == in_environment ? "a secret from the environment" : "a secret that is cached",
            [&] {
                st_bytes found;
                check(st_secrets_get(secrets.raw(), key, std::strlen(key), &found, nullptr) == ST_OK);
                sink = found.data[0];
                st_bytes_free(&found);
            },
            [&] { sink = secrets.get(key).data()[0]; });
    }
    compare_cache(st::Cache::open({std::chrono::hours(1), 500, std::chrono::minutes(1)}));
}
