// No call leaks memory: 100 000 calls of each kind, after enough to fill all caches.
#include "check.hpp"

#include <malloc.h>
#include <functional>

using namespace std::chrono_literals;

static long resident_kib() {
    malloc_trim(0);
    long pages = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    CHECK(file != nullptr && fscanf(file, "%ld %ld", &pages, &resident) == 2);
    fclose(file);
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

static void stays_flat(const char *name, const std::function<void()> &call) {
    enum { WARM_UP = 20000, CALLS = 100000, MOST_KIB = 512 };
    for (int i = 0; i < WARM_UP; i++) {
        call();
    }
    long before = resident_kib();
    for (int i = 0; i < CALLS; i++) {
        call();
    }
    long grown = resident_kib() - before;
    if (grown > MOST_KIB) {
        check_failed(__FILE__, __LINE__, "%s: %d calls kept %ld KiB", name, int(CALLS), grown);
    }
}

static bool throws(const std::function<void()> &call) {
    try {
        call();
    } catch (...) {
        return true;
    }
    return false;
}

int main(int argc, char **) {
    begin();
    setenv("HF_TOKEN", "CANARY", 1);
    st::Secrets secrets = st::Secrets::open(st::Config().providers({"env"}));
    secrets.add_provider("mine", [](std::string_view key) {
        return key == "GOOD" ? std::optional<std::string>("CANARY") : std::nullopt;
    });
    st::Cache cache = st::Cache::open({300s, 100, 60s});
    st::Cipher cipher = st::Cipher::open(st::Config().key("CANARY key"));
    auto cached = st::cached([](int n) { return std::string(100, char('a' + n)); }, {"letters", "", 300s, 10});
    std::string token = cipher.encrypt("CANARY");
    int n = 0;

    stays_flat("get", [&] { (void)secrets.get("HF_TOKEN").clone(); });
    stays_flat("get of a provider", [&] { (void)secrets.get("GOOD"); });
    stays_flat("find", [&] { CHECK(!secrets.find("NOWHERE")); });
    stays_flat("a failure", [&] { CHECK(throws([&] { (void)secrets.get("NOWHERE"); })); });
    stays_flat("get_with", [&] { (void)secrets.get_with("HF_TOKEN", {}); });
    stays_flat("get_many", [&] { (void)secrets.get_many({"HF_TOKEN", "NOWHERE"}); });
    stays_flat("describe", [&] { (void)secrets.describe(); });
    stays_flat("open", [&] { (void)st::Secrets::open(st::Config().providers({"env"}).timeout(2s)); });
    stays_flat("cache set and get", [&] {
        std::string key = std::to_string(n++ % 1000);
        cache.set(key, "CANARY");
        CHECK(cache.get(key).has_value());
    });
    stays_flat("cache objects", [&] {
        cache.set_object("o", std::string(100, 'x'));
        CHECK(cache.get_object<std::string>("o")->size() == 100);
    });
    stays_flat("get_or_load", [&] {
        (void)cache.get_or_load(std::to_string(n++), [](std::string_view key) { return std::string(key); });
    });
    stays_flat("a loader that throws", [&] {
        CHECK(throws([&] { (void)cache.get_or_load("t", [](std::string_view) -> std::string { throw 5; }); }));
    });
    stays_flat("a lease", [&] { cache.begin_load(std::to_string(n++)).lease.finish("x"); });
    stays_flat("an abandoned lease", [&] { (void)cache.begin_load("a"); });
    stays_flat("cached", [&] { CHECK(cached(n++ % 26).size() == 100); });
    stays_flat("encrypt and decrypt", [&] { CHECK(cipher.decrypt(cipher.encrypt("CANARY")).size() == 6); });
    stays_flat("reencrypt", [&] { CHECK(!cipher.reencrypt(token).changed); });
    stays_flat("a bad token", [&] { CHECK(throws([&] { (void)cipher.decrypt("x"); })); });

    // The measurement detects a leak of 16 bytes per call.
    if (argc > 1) {
        static std::vector<std::unique_ptr<int>> kept;
        stays_flat("what leaks", [&] { kept.push_back(std::make_unique<int>(1)); });
    }
    return 0;
}
