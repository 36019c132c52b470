// Secrets: lookup, writing, reports.
#include "check.hpp"
#include "redis.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include <unistd.h>

using namespace std::chrono_literals;

static void process_secret() {
    setenv("HF_TOKEN", "CANARY-env", 1);
    st::Bytes token = st::Secrets::process().get("hf-token");
    CHECK(token.view() == "CANARY-env" && token.size() == 10 && !token.empty() && token.c_str()[10] == 0);
    st::Bytes other = token.clone();
    CHECK(other.data() == token.data());
    token.reset();
    token.reset();
    CHECK(token.empty() && token.view().empty() && other.view() == "CANARY-env");
    token = std::move(other);
    CHECK(token.view() == "CANARY-env" && other.view().empty() && other.clone().view().empty());
    CHECK(st::Secrets::process().hf_token().view() == "CANARY-env");
    FAILS(st::Secrets::process().try_replicate_token(), st::Status::not_found, "REPLICATE_API_TOKEN");
    THROWS(st::Secrets::process().webhook_secret(), st::Status::not_found, "CLOUD_WEBHOOK_SECRET");
}

static void missing_secret() {
    st::Secrets secrets = st::Secrets::process();
    THROWS(secrets.get("NOWHERE"), st::Status::not_found, "NOWHERE is not set");
    CHECK(!secrets.find("NOWHERE").has_value());
    CHECK(secrets.find("HF_TOKEN")->view() == "CANARY-env");
    THROWS(secrets.find(""), st::Status::invalid_argument, "name of a secret");
    THROWS(secrets.get(std::string_view("a\0b", 3)), st::Status::invalid_argument, "NUL");
    auto value = secrets.try_get("NOWHERE");
    FAILS(value, st::Status::not_found, "NOWHERE");
    CHECK(value.error().source() == st::Source::none && !value.error().retryable());
    // No empty value takes the place of the missing one.
    THROWS(*value, st::Status::not_found, "NOWHERE");
    THROWS(value->view(), st::Status::not_found, "NOWHERE");
    THROWS(*secrets.try_get("NOWHERE"), st::Status::not_found, "NOWHERE");
    THROWS(std::as_const(value)->view(), st::Status::not_found, "NOWHERE");
    CHECK(value.output().empty());
}

static void secrets_file() {
    std::string path = write_file("secrets.json", R"({"A": "CANARY-A", "B": "CANARY-B", "HF_TOKEN": "CANARY-file"})");
    st::Secrets secrets = st::Secrets::open(st::Config().file_path(path).providers({"env", "file"}));
    CHECK(secrets.get("A").view() == "CANARY-A");
    CHECK(secrets.file_path() == path);

    st::Secret found = secrets.get_with("A", {});
    CHECK(found.provider == "file" && found.source == st::Source::file && found.version.empty());
    CHECK(!found.stale && !found.cached && !found.degraded && !found.shared && found.age == 0s &&
          found.expires_in == 0s);
    CHECK(secrets.get_with("A", {60s, true, false}).value.view() == "CANARY-A");
    FAILS(secrets.try_get_with("X", {}), st::Status::not_found, "X");

    auto values = secrets.get_many({"A", "X", "HF_TOKEN"});
    CHECK(values.size() == 3 && values[0]->view() == "CANARY-A" && values[2].value().view() == "CANARY-env");
    FAILS(values[1], st::Status::not_found, "ST_NOT_FOUND");
    CHECK(secrets.get_many(std::vector<std::string>{"B"})[0]->view() == "CANARY-B" && secrets.get_many({}).empty());
    setenv((*MadeTexts().begin()).c_str(), "CANARY", 1);
    CHECK(secrets.get_many(MadeTexts())[0]->view() == "CANARY" && !secrets.get_many(MadeTexts())[1]);
    THROWS(secrets.get_many({std::string_view("a\0b", 3)}), st::Status::invalid_argument, "");

    char buffer[16];
    CHECK(secrets.get_into("A", buffer, sizeof buffer) == 8 && std::memcmp(buffer, "CANARY-A", 8) == 0);
    auto len = secrets.try_get_into("A", nullptr, 0);
    CHECK(len && *len == 8);
    auto small = secrets.try_get_into("A", buffer, 3);
    FAILS(small, st::Status::buffer_too_small, "8");
    CHECK(small.output() == 8);
    THROWS(secrets.get_into("A", buffer, 3), st::Status::buffer_too_small, "8");

    secrets.set("A", "CANARY-new");
    secrets.set_replicate_token("CANARY-r8");
    CHECK(secrets.get("A").view() == "CANARY-new" && secrets.replicate_token().view() == "CANARY-r8");
    CHECK(secrets.remove("A") && !secrets.remove("A"));
    THROWS(secrets.set("", "CANARY"), st::Status::invalid_argument, "name of a secret");
    secrets.refresh();
    secrets.refresh(60s);
    secrets.clear_cache();
    CHECK(secrets.describe().find("\"name\": \"file\"") != std::string::npos);
    CHECK(secrets.check().find("\"state\": \"ok\"") != std::string::npos);
    CHECK(secrets.describe().find("CANARY") == std::string::npos);
}

static void broken_file() {
    st::Secrets secrets = st::Secrets::open(st::Config().file_path(write_file("broken.json", "{\"A\": CANARY")));
    try {
        (void)secrets.get("A");
        NOTHING_THROWN();
    } catch (const std::runtime_error &error) {
        const auto &failure = dynamic_cast<const st::Error &>(error);
        CHECK(failure.status() == st::Status::protocol && failure.source() == st::Source::file && !failure.retryable());
        CHECK(std::strstr(failure.what(), "line 1") != nullptr && std::strstr(failure.what(), "CANARY") == nullptr);
    }
    auto failed = st::Secrets::open(st::Config().file_path("/proc/s.json")).try_set("A", "CANARY");
    CHECK(!failed && failed.error().source() == st::Source::file && failed.error().detail() == ENOENT);
}

static void changes() {
    st::Secrets secrets = st::Secrets::open(st::Config().file_path(write_file("changes.json", "{}")));
    std::uint64_t before = secrets.generation(), seen = 0;
    std::string changed;
    const std::uint64_t id = secrets.watch("", [&](std::string_view key, std::uint64_t generation) {
        changed = "all" + std::string(key);
        seen = generation;
    });
    CHECK(secrets.listen(before, 0s) == before);
    secrets.set("WATCHED", "1");
    CHECK(secrets.listen(before, 60s) > before && changed == "all" && seen > before);
    secrets.unwatch(id);
    FAILS(secrets.try_unwatch(id), st::Status::not_found, "no watch");
    FAILS(secrets.try_invalidate("A", 1s), st::Status::config, "`share`");
}

static std::size_t count(const std::string &report, const std::string &member) {
    const std::size_t begin = report.find("\"" + member + "\":["), end = report.find(']', begin);
    CHECK(begin != std::string::npos && end != std::string::npos);
    const std::string list = report.substr(begin, end - begin);
    return static_cast<std::size_t>(std::count(list.begin(), list.end(), '/'));
}

static void hosts_of_a_cluster() {
    const Redis redis;
    auto host = [&](const char *name) {
        st::Config config = st::Config().share("host").share_dir(redis.directory() + "/" + name);
        config.share_url(redis.url()).share_key(Redis::key);
        return st::Secrets::open(config);
    };
    const st::Secrets one = host("one"), other = host("other");
    std::atomic<bool> is_listening(true);
    std::thread listening([&] {
        while (is_listening) other.listen(other.generation(), 1s);
    });
    // The other host is known when it has looked at the tier. A busy machine may miss the time of an exchange.
    auto invalidated = [&](st::Seconds timeout, std::size_t confirmed) {
        for (;;) {
            const st::Result<std::string> report = one.try_invalidate("A", timeout, ST_SCOPE_CLUSTER);
            if (report && count(*report, "confirmed") == confirmed) return *report;
        }
    };
    const std::string all = invalidated(60s, 2);
    is_listening = false;
    listening.join();
    CHECK(all.find("\"cluster\"") != std::string::npos && count(all, "silent") == 0);
    // It makes no call.
    CHECK(count(invalidated(500ms, 1), "silent") == 1);
}

static void share_is_off_or_refused() {
    st::Secrets secrets = st::Secrets::open(st::Config().providers({"env"}));
    secrets.prefetch();
    CHECK(secrets.try_prefetch(60s));
    FAILS(secrets.try_prefetch(-2s), st::Status::invalid_argument, "`timeout`");
    CHECK(secrets.share().find("\"share\": \"off\"") != std::string::npos);
    std::string directory = path_of("open");
    CHECK(mkdir(directory.c_str(), 0700) == 0 && chmod(directory.c_str(), 0755) == 0);
    st::Secrets refused = st::Secrets::open(st::Config().share("host").share_dir(directory));
    CHECK(refused.share().find("chmod 700") != std::string::npos);
    auto wrong = st::Secrets::try_open(st::Config().share("host").share_key("CANARY"));
    FAILS(wrong, st::Status::config, "share_key");
}

static void process_chain_is_replaced() {
    st::Secrets::reset(st::Config().file_path(write_file("process.json", R"({"A": "CANARY-process"})")));
    CHECK(st::Secrets::process().get("A").view() == "CANARY-process");
    FAILS(st::Secrets::try_reset(st::Config().set("filepath", "x")), st::Status::config, "file_path");
    CHECK(st::Secrets::process().get("A").view() == "CANARY-process");
    st::Secrets::reset();
    CHECK(!st::Secrets::process().find("A").has_value());
}

int main() {
    begin();
    process_secret();
    missing_secret();
    secrets_file();
    broken_file();
    changes();
    share_is_off_or_refused();
    hosts_of_a_cluster();
    process_chain_is_replaced();
    return 0;
}
