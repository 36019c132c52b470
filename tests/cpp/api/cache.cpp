// Caches: bytes, objects, loads.
#include "check.hpp"
#include "redis.hpp"

#include <map>
#include <thread>

using namespace std::chrono_literals;

static void bytes_expire() {
    st::Cache cache = st::Cache::open({300s, 3, 60s});
    CHECK(!cache.get("a").has_value());
    FAILS(cache.try_get("a"), st::Status::not_found, "");
    cache.set("a", "CANARY");
    CHECK(cache.get("a")->view() == "CANARY");
    cache.set(std::string_view("a\0b", 3), {});
    CHECK(cache.get(std::string_view("a\0b", 3))->empty() && cache.get("a")->view() == "CANARY");
    cache.set({}, "an empty key");
    CHECK(cache.get({})->view() == "an empty key");
    cache.set("over", "x", 0s);
    cache.set("ever", "x", st::forever);
    CHECK(!cache.get("over").has_value());
    cache.set("short", "x", 20ms);
    CHECK_SOON(!cache.get("short").has_value());
    CHECK(cache.get("ever").has_value());
    THROWS(cache.set("a", "CANARY", -3s), st::Status::invalid_argument, "");

    char buffer[8];
    CHECK(*cache.get_into("ever", buffer, sizeof buffer) == 1 && buffer[0] == 'x');
    CHECK(!cache.get_into("nowhere", buffer, sizeof buffer).has_value());
    auto small = cache.try_get_into("ever", buffer, 0);
    FAILS(small, st::Status::buffer_too_small, "");
    CHECK(small.output() == 1);
}

static void entries_are_removed() {
    st::Cache cache = st::Cache::open();
    cache.set("p:1", "x");
    cache.set("p:2", "x");
    cache.set("q:1", "x");
    CHECK(cache.remove("p:1") && !cache.remove("p:1"));
    CHECK(cache.invalidate_prefix("p:") == 1 && cache.clear() == 1);
    st::CacheCounts counts = cache.stats();
    CHECK(counts.entries == 0 && counts.max_size == 1000 && counts.default_ttl == 300.0 && counts.invalidations == 3);
    THROWS(st::Cache::open({-1s, 1, 1s}), st::Status::invalid_argument, "default_ttl");
}

static void built_in_caches() {
    st::Cache::provider_config().set("provider:cpp:config", "x");
    CHECK(st::Cache::provider_config().get("provider:cpp:config").has_value());
    CHECK(st::invalidate_provider("cpp") == 1 && st::invalidate_provider("cpp") == 0);
    st::Cache::user_permission().set("user:7:permissions", "x");
    CHECK(st::invalidate_user(7) == 1);
}

static void settings_of_open_with() {
    st::Cache cache = st::Cache::open_with(st::Config().soft_ttl(10ms).absent_ttl(1h).ttl_jitter(0.25).max_size(3));
    CHECK(cache.stats().max_size == 3);
    int loads = 0;
    auto none = [&](std::string_view) -> std::optional<std::string> { return ++loads, std::nullopt; };
    THROWS(cache.get_or_load("nowhere", none), st::Status::not_found, "");
    THROWS(cache.get_or_load("nowhere", none), st::Status::not_found, "");
    CHECK(loads == 1);

    // A stale value is preferred to a failure.
    cache.set("a", "old");
    std::this_thread::sleep_for(200ms);
    auto fails = [&](std::string_view) -> std::string { throw std::runtime_error("the database is away"); };
    CHECK(cache.get_or_load("a", fails).view() == "old");
    // After a second the next caller reloads it.
    while (cache.get_or_load("a", [](std::string_view) { return std::string("new"); }).view() == "old") {
        std::this_thread::sleep_for(10ms);
    }
    CHECK(cache.get("a")->view() == "new");

    THROWS(st::Cache::open_with(st::Config().ttl_jitter(2.0)), st::Status::config, "ttl_jitter");
}

static void object_is_reloaded_after_soft_ttl() {
    st::Cache opened = st::Cache::open_with(st::Config().soft_ttl(10ms).max_size(3));
    opened.set_object("a", 1);
    st::Cache moved(std::move(opened)), cache;
    cache = std::move(moved);
    int loads = 0;
    auto load = [&] { return ++loads, 2; };
    for (int tries = 0; tries < 60'000 && *cache.get_or_load_object("a", load) == 1; tries++) {
        std::this_thread::sleep_for(1ms);
    }
    CHECK(loads > 0 && *cache.get_object<int>("a") == 2);

    // The old value is preferred to a failure.
    cache.set_object("b", 1);
    auto fails = [&]() -> int {
        ++loads;
        throw std::runtime_error("the database is away");
    };
    loads = 0;
    for (int tries = 0; tries < 60'000 && loads == 0; tries++) {
        CHECK(*cache.get_or_load_object("b", fails) == 1);
        std::this_thread::sleep_for(1ms);
    }
    CHECK(loads > 0 && *cache.get_or_load_object("b", fails) == 1);
}

struct User {
    int id;
    std::string name;
};

static void objects_of_any_type() {
    st::Cache cache = st::Cache::open({300s, 2, 60s});
    cache.set_object("user", User{7, "CANARY"});
    std::shared_ptr<const User> user = cache.get_object<User>("user");
    CHECK(user != nullptr && user->id == 7 && user->name == "CANARY");
    CHECK(cache.get_object<User>("user") == user);
    CHECK(cache.get_object<User>("nobody") == nullptr);
    FAILS(cache.try_get_object<User>("nobody"), st::Status::not_found, "");
    THROWS(cache.get_object<int>("user"), st::Status::wrong_type, "another type");
    THROWS(cache.get("user"), st::Status::wrong_type, "object");
    cache.set("bytes", "x");
    THROWS(cache.get_object<User>("bytes"), st::Status::wrong_type, "bytes");

    // The object lives as long as a reference to it.
    std::weak_ptr<const User> watch = user;
    cache.close();
    CHECK(user->name == "CANARY");
    user.reset();
    CHECK(watch.expired());
}

static void object_of_foreign_code_has_another_type() {
    st::Cache cache = st::Cache::open();
    static char of_c[64] = "not of C++";
    CHECK(st_cache_set_object(cache.raw(), "c", 1, of_c, nullptr, ST_TTL_DEFAULT, nullptr) == ST_OK);
    THROWS(cache.get_object<User>("c"), st::Status::wrong_type, "another type");
    CHECK(st_cache_set_object(cache.raw(), "null", 4, nullptr, nullptr, ST_TTL_DEFAULT, nullptr) == ST_OK);
    THROWS(cache.get_object<User>("null"), st::Status::wrong_type, "another type");
}

static void missing_value_is_loaded() {
    st::Cache cache = st::Cache::open();
    int calls = 0;
    auto load = [&](std::string_view key) {
        calls++;
        return "CANARY-" + std::string(key);
    };
    CHECK(cache.get_or_load("k", load).view() == "CANARY-k" && cache.get_or_load("k", load).view() == "CANARY-k" &&
          calls == 1);
    CHECK(cache.get_or_load("r", [](std::string_view, st::Reply &reply) { reply.value("CANARY", 0s); }).view() ==
          "CANARY");
    CHECK(!cache.get("r").has_value());
    FAILS(cache.try_get_or_load("none", [](std::string_view) { return std::optional<std::string>(); }),
          st::Status::not_found, "");
    FAILS(cache.try_get_or_load("k2", [&](std::string_view key) { return cache.get_or_load(key, load); }),
          st::Status::busy, "");
}

static void loader_exception_is_thrown_to_its_caller() {
    st::Cache cache = st::Cache::open();
    auto throwing = [](std::string_view) -> std::string { throw std::logic_error("CANARY"); };
    try {
        (void)cache.get_or_load("k", throwing);
        NOTHING_THROWN();
    } catch (const std::logic_error &error) {
        CHECK(std::strcmp(error.what(), "CANARY") == 0);
    }
    FAILS(cache.try_get_or_load("k", throwing), st::Status::callback, "threw");
    FAILS(cache.try_get_or_load_object("k", []() -> int { throw 5; }), st::Status::callback, "threw");
    try {
        (void)cache.get_or_load_object("k", []() -> int { throw 5; });
        NOTHING_THROWN();
    } catch (int number) {
        CHECK(number == 5);
    }
    CHECK(!cache.get("k").has_value() && cache.stats().load_failures == 4);
}

static void missing_object_is_loaded() {
    st::Cache cache = st::Cache::open();
    int calls = 0;
    auto load = [&] { return User{++calls, "CANARY"}; };
    CHECK(cache.get_or_load_object("u", load)->id == 1 && cache.get_or_load_object("u", load)->id == 1);
    CHECK(cache.get_object<User>("u")->id == 1);
    THROWS(cache.get_or_load_object("u", [] { return 1; }), st::Status::wrong_type, "");
    // The caller gets the value even if the cache does not store it.
    st::Cache tiny = st::Cache::open({300s, 0, 60s});
    CHECK(tiny.get_or_load_object("u", load)->id == 2 && tiny.get_or_load_object("u", load)->id == 3);
    CHECK(cache.get_or_load_object("v", load, 0s)->id == 4 && cache.get_or_load_object("v", load, 0s)->id == 5);
    FAILS(cache.try_get_or_load_object("w", load, -3s), st::Status::invalid_argument, "");
}

static void load_in_two_steps() {
    st::Cache cache = st::Cache::open();
    st::Load mine = cache.begin_load("k");
    CHECK(mine.outcome == st::Load::Outcome::leader && mine.lease && mine.value.empty());
    st::Load other = cache.begin_load("k");
    CHECK(other.outcome == st::Load::Outcome::busy && !other.lease);
    FAILS(cache.try_begin_load("k", 10ms), st::Status::timeout, "");
    mine.lease.finish("CANARY", 60s);
    CHECK(!mine.lease && cache.begin_load("k").outcome == st::Load::Outcome::hit &&
          cache.begin_load("k").value.view() == "CANARY");
    FAILS(mine.lease.try_finish("again"), st::Status::abandoned, "ended");

    cache.begin_load("o").lease.finish_object(User{1, "CANARY"});
    CHECK(cache.get_object<User>("o")->id == 1);
    // A waiting caller gets the failure. One that came too late to wait gets the lease.
    bool reported = false;
    for (std::chrono::milliseconds pause = 20ms; !reported; pause *= 2) {
        CHECK(pause < 60s);
        st::Load failing = cache.begin_load("f");
        std::thread waiting([&] {
            st::Result<st::Load> waited = cache.try_begin_load("f", 60s);
            reported = !waited.ok();
            if (reported) {
                FAILS(waited, st::Status::unavailable, "it sleeps");
            }
        });
        std::this_thread::sleep_for(pause);
        failing.lease.abandon(st::Status::unavailable, "it sleeps");
        waiting.join();
    }
    // The destructor abandons the lease.
    {
        st::Load gone = cache.begin_load("g");
    }
    st::Lease moved = std::move(cache.begin_load("g").lease);
    CHECK(moved);
    moved = st::Lease();
    CHECK(cache.begin_load("g").outcome == st::Load::Outcome::leader);
    // A failed call does not end the lease.
    st::Load kept = cache.begin_load("h");
    FAILS(kept.lease.try_finish("x", -3s), st::Status::invalid_argument, "");
    CHECK(kept.lease);
    kept.lease.finish("x");
}

static void caches_share_values_through_a_tier() {
    Redis redis;
    auto open = [&](const std::string &url) {
        st::Config config = st::Config().tier(url).share_key(Redis::key);
        config.tier_interval(10ms);
        return st::Cache::open_with(config);
    };
    st::Cache one = open(redis.url()), other = open(redis.url());
    auto has = [](st::Cache &cache, std::string_view key, std::string_view value) {
        const auto found = cache.get(key);
        return found.has_value() && found->view() == value;
    };
    one.set("user:1", "CANARY-first");
    one.set("plan", "CANARY-plan");
    CHECK(has(other, "user:1", "CANARY-first") && has(other, "plan", "CANARY-plan"));
    one.set("user:1", "CANARY-second");
    CHECK_SOON(has(other, "user:1", "CANARY-second"));
    CHECK(one.invalidate_prefix("user:") == 1);
    CHECK_SOON(!other.get("user:1").has_value());
    CHECK(has(other, "plan", "CANARY-plan"));
    // A server that is gone is not a failure.
    redis.stop();
    other.set("own", "CANARY-own");
    CHECK(has(other, "own", "CANARY-own") && !other.get("absent").has_value());
    FAILS(st::Cache::try_open_with(st::Config().tier(redis.url())), st::Status::config, "share_key");
}

int main() {
    begin();
    caches_share_values_through_a_tier();
    bytes_expire();
    entries_are_removed();
    built_in_caches();
    settings_of_open_with();
    object_is_reloaded_after_soft_ttl();
    objects_of_any_type();
    object_of_foreign_code_has_another_type();
    missing_value_is_loaded();
    loader_exception_is_thrown_to_its_caller();
    missing_object_is_loaded();
    load_in_two_steps();
    return 0;
}
