// Functions whose results are cached.
#include "check.hpp"

#include <array>
#include <atomic>
#include <functional>
#include <map>
#include <stdexcept>
#include <thread>

using namespace std::chrono_literals;

struct User {
    int id;
    std::string name;
};

static void function_is_called_once_for_the_same_arguments() {
    int calls = 0;
    auto get_user = st::cached(
        [&](int id, const std::string &realm) {
            calls++;
            return User{id, realm};
        },
        {"get_user", "mymodule", 120s});
    CHECK(get_user(123, "CANARY").name == "CANARY" && get_user(123, "CANARY").id == 123 && calls == 1);
    CHECK(get_user(124, "CANARY").id == 124 && calls == 2);
    CHECK(get_user.key(123, "a") == "mymodule:get_user:123:a");
    CHECK(get_user.cache().stats().default_ttl == 120.0 && get_user.cache().stats().entries == 2);
    CHECK(get_user.cache().remove(get_user.key(123, "CANARY")));
    CHECK(get_user(123, "CANARY").id == 123 && calls == 3);
    get_user.cache().clear();
    CHECK(get_user(124, "CANARY").id == 124 && calls == 4);
}

static int answer() { return 42; }

static void plain_functions_and_ttl() {
    auto short_lived = st::cached(answer, {"answer", "", 20ms});
    CHECK(short_lived() == 42 && short_lived.key() == "answer");
    std::this_thread::sleep_for(200ms);
    CHECK(short_lived() == 42 && short_lived.cache().stats().loads == 2);
    st::CachedOptions options;
    options.name = "answer";
    CHECK(st::cached(&answer, options).cache().stats().default_ttl == 60.0);
    // An empty optional is a result too.
    int calls = 0;
    auto find = st::cached([&](int) -> std::optional<int> { return calls++, std::nullopt; }, {"find"});
    CHECK(!find(1).has_value() && !find(1).has_value() && calls == 1);
}

static void exception_is_thrown_and_not_stored() {
    int calls = 0;
    auto failing = st::cached(
        [&](int id) {
            if (calls++ == 0) {
                throw std::out_of_range("CANARY");
            }
            return id;
        },
        {"failing"});
    try {
        (void)failing(1);
        NOTHING_THROWN();
    } catch (const std::out_of_range &) {
    }
    CHECK(failing(1) == 1 && failing(1) == 1 && calls == 2);
}

static void threads_share_one_call() {
    std::atomic<int> calls{0};
    auto slow = st::cached(
        [&](int id) {
            calls++;
            std::this_thread::sleep_for(100ms);
            return id;
        },
        {"slow"});
    std::vector<std::thread> threads;
    for (int i = 0; i < 32; i++) {
        threads.emplace_back([&] { CHECK(slow(7) == 7); });
    }
    for (std::thread &thread : threads) {
        thread.join();
    }
    CHECK(calls == 1);
    // A caller with a short timeout gets an error.
    st::CachedOptions options{"hasty", "", 60s, 10, 10ms};
    std::atomic<bool> begun{false}, released{false};
    auto hasty = st::cached(
        [&](int id) {
            begun = true;
            while (!released) {
                std::this_thread::sleep_for(1ms);
            }
            return id;
        },
        options);
    std::thread first([&] { CHECK(hasty(1) == 1); });
    while (!begun) {
        std::this_thread::sleep_for(1ms);
    }
    THROWS(hasty(1), st::Status::timeout, "");
    released = true;
    first.join();
    CHECK(hasty(1) == 1);
}

static void function_may_call_itself_for_other_arguments() {
    struct Fibonacci {
        st::Cached<std::function<long(int)>> of;
    };
    static Fibonacci fibonacci{{[](int n) { return n < 2 ? n : fibonacci.of(n - 1) + fibonacci.of(n - 2); }, {"fib"}}};
    CHECK(fibonacci.of(60) == 1548008755920);
    static st::Cached<std::function<int(int)>> endless{[](int n) { return endless(n); }, {"endless"}};
    THROWS(endless(1), st::Status::busy, "");
}

enum class Colour { red = 3 };

static void argument_types() {
    CHECK(st::function_key("m", "f", Colour::red, 1.5f, std::optional<int>(), std::optional<int>(4)) ==
          "m:f:3:1.5e0:null:4");
    CHECK(st::function_key("m", "f", std::make_pair(1, "1"), std::make_tuple(), std::array<int, 2>{1, 2}) ==
          "m:f:[1,\"1\"]:[]:[1,2]");
    CHECK(st::function_key("m", "f", static_cast<const char *>(nullptr), nullptr, std::nullopt) ==
          "m:f:null:null:null");
    CHECK(st::function_key("m", "f", std::vector<bool>{true, false}) == "m:f:[true,false]");
    CHECK(st::function_key("m", "f", std::vector<std::byte>{std::byte{0xab}}) == "m:f:x\"ab\"");
    CHECK(st::function_key("m", "f", static_cast<unsigned char>(7), ~0ull) == "m:f:7:18446744073709551615");
    std::map<std::string, std::vector<int>> map{{"b", {1}}, {"a", {}}};
    CHECK(st::function_key("m", "f", map) == "m:f:{\"a\"=[],\"b\"=[1]}");
}

int main() {
    begin();
    function_is_called_once_for_the_same_arguments();
    plain_functions_and_ttl();
    exception_is_thrown_and_not_stored();
    threads_share_one_call();
    function_may_call_itself_for_other_arguments();
    argument_types();
    return 0;
}
