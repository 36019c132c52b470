// The library itself, its log, closed handles, threads and forks.
#include "check.hpp"

#include <atomic>
#include <sstream>
#include <sys/wait.h>
#include <thread>

using namespace std::chrono_literals;

static void versions() {
    CHECK(std::string(st::version()) == ST_VERSION && st::version_number() == ST_VERSION_NUMBER);
    CHECK(st::abi_version() == ST_ABI_VERSION);
    CHECK(std::string(st::name(st::Status::bad_token)) == "ST_BAD_TOKEN");
}

static void log_messages() {
    auto lines = std::make_shared<std::vector<std::string>>();
    st::log_to(st::Level::debug, [lines](st::Level level, std::string_view target, std::string_view message) {
        CHECK(level > st::Level::off && level <= st::Level::debug && !target.empty());
        lines->push_back(std::string(message));
        throw 5;
    });
    setenv("HF_TOKEN", "CANARY", 1);
    (void)st::Secrets::process().get("HF_TOKEN");
    CHECK(!lines->empty() && lines.use_count() == 2);
    for (const std::string &line : *lines) {
        CHECK(line.find("CANARY") == std::string::npos);
    }
    std::size_t count = lines->size();
    st::log_off();
    CHECK(lines.use_count() == 1);
    (void)st::Secrets::process().get("HF_TOKEN");
    CHECK(lines->size() == count);

    auto providers = std::make_shared<std::vector<std::string>>();
    st::log_to(st::Level::debug, [providers](st::Level, std::string_view, std::string_view, const st_log_field *fields,
                                             std::size_t fields_count) {
        for (std::size_t at = 0; at < fields_count; at++) {
            if (std::string_view(fields[at].name) == "provider") {
                providers->emplace_back(fields[at].text, fields[at].len);
            }
        }
        throw 5;
    });
    (void)st::Secrets::process().get("HF_TOKEN");
    st::log_off();
    CHECK(providers.use_count() == 1 && *providers == std::vector<std::string>{"env"});
}

// Closed, moved-from and never opened handles fail; they do not fall back to those of the process.
template <class Handle, class Call>
static void fails_when_closed(Handle handle, Call call) {
    CHECK(handle.is_open());
    Handle moved = std::move(handle);
    CHECK(moved.is_open() && !handle.is_open()); // NOLINT(bugprone-use-after-move)
    CHECK(call(handle).status() == st::Status::invalid_argument);
    CHECK(call(moved).status() != st::Status::invalid_argument);
    handle = std::move(moved);
    CHECK(call(handle).status() != st::Status::invalid_argument);
    handle.close();
    handle.close();
    CHECK(!handle.is_open() && call(handle).status() == st::Status::invalid_argument);
    CHECK(call(Handle()).status() == st::Status::invalid_argument);
}

static void closed_handles() {
    fails_when_closed(st::Secrets::open(), [](const st::Secrets &secrets) { return secrets.try_get("HF_TOKEN"); });
    fails_when_closed(st::Secrets::process(), [](const st::Secrets &secrets) { return secrets.try_get("HF_TOKEN"); });
    fails_when_closed(st::Secrets::process(), [](const st::Secrets &secrets) { return secrets.try_describe(); });
    fails_when_closed(st::Cipher::open(st::Config().key("k")),
                      [](const st::Cipher &cipher) { return cipher.try_encrypt("x"); });
    fails_when_closed(st::Cache::open(), [](const st::Cache &cache) { return cache.try_set("k", "x"); });
    fails_when_closed(st::Cache::provider_config(), [](const st::Cache &cache) { return cache.try_set("k", "x"); });
    CHECK(st::Secrets::process().get("HF_TOKEN").view() == "CANARY");
    CHECK(st::Cache::provider_config().try_stats().ok());
    THROWS(st::Secrets().get("HF_TOKEN"), st::Status::invalid_argument, "closed");
    FAILS(st::Cache().try_get_or_load_object("k", [] { return 1; }), st::Status::invalid_argument, "");
    FAILS(st::Lease().try_finish("x"), st::Status::abandoned, "");
}

static void results() {
    st::Result<st::Bytes> value = st::Secrets::process().try_get("HF_TOKEN");
    CHECK(value && value.ok() && value.status() == st::Status::ok && (*value).view() == "CANARY" && value->size() == 6);
    CHECK(value.error().message()[0] == 0);
    const st::Result<st::Bytes> &unchanging = value;
    CHECK(unchanging.value().view() == "CANARY");
    st::Result<std::size_t> none = st::Failure(st::Status::busy, "later");
    CHECK(!none && std::move(none).value_or(7) == 7 && st::Result<int>(3).value_or(7) == 3);
    THROWS(none.value(), st::Status::busy, "later");

    // A message that is too long is truncated after a whole character.
    st::Failure longest(st::Status::io, std::string(510, 'x') + "\u00fc");
    CHECK(std::strlen(longest.message()) == 510);
    st::Failure copy = longest;
    CHECK(std::strcmp(copy.message(), longest.message()) == 0 && copy.status() == st::Status::io);
    CHECK(st::Failure(st::Status::io, {}).message()[0] == 0);
}

static void handle_in_many_threads() {
    st::Secrets secrets = st::Secrets::open(st::Config().providers({"env"}));
    std::atomic<int> calls{0};
    secrets.add_provider("mine", [&](std::string_view key) {
        calls++;
        std::this_thread::sleep_for(20ms);
        return "CANARY-" + std::string(key);
    });
    std::vector<std::thread> threads;
    for (int i = 0; i < 16; i++) {
        threads.emplace_back([&] {
            for (int j = 0; j < 100; j++) {
                CHECK(secrets.get("SHARED").view() == "CANARY-SHARED");
            }
        });
    }
    for (std::thread &thread : threads) {
        thread.join();
    }
    CHECK(calls == 1);
}

static void child_uses_handles_of_its_parent() {
    st::Secrets secrets = st::Secrets::open(st::Config().providers({"env"}));
    st::Cache cache = st::Cache::open();
    cache.set_object("o", std::string("CANARY"));
    st::Bytes before = secrets.get("HF_TOKEN");
    st::Load load = cache.begin_load("k");
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        bool good = before.view() == "CANARY" && secrets.get("HF_TOKEN").view() == "CANARY" &&
                    *cache.get_object<std::string>("o") == "CANARY" &&
                    // The child takes over the load that the parent has begun.
                    cache.get_or_load("k", [](std::string_view) { return "CANARY"; }).view() == "CANARY" &&
                    load.lease.try_finish("x").status() == st::Status::abandoned;
        _exit(good ? 0 : 1);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    load.lease.finish("x");
}

int main() {
    begin();
    versions();
    log_messages();
    closed_handles();
    results();
    handle_in_many_threads();
    child_uses_handles_of_its_parent();
    return 0;
}
