// Custom providers, as lambdas.
#include "check.hpp"

#include <stdexcept>

using namespace std::chrono_literals;

static st::Secrets chain() { return st::Secrets::open(st::Config().providers({"env"})); }

// A chain with a single provider, which returns the result of this function.
template <class F>
static st::Secrets with(F &&provider) {
    st::Secrets secrets = chain();
    secrets.add_provider("mine", std::forward<F>(provider));
    return secrets;
}

static void provider_return_types() {
    CHECK(with([](std::string_view key) { return "CANARY-" + std::string(key); }).get("X").view() == "CANARY-X");
    CHECK(with([](std::string_view) { return "CANARY"; }).get("X").view() == "CANARY");
    CHECK(with([](std::string_view) { return std::string_view("CANARY", 3); }).get("X").view() == "CAN");
    CHECK(with([](std::string_view) { return std::string(); }).get("X").empty());
    CHECK(with([](std::string_view) { return std::optional<std::string>("CANARY"); }).get("X").view() == "CANARY");
    setenv("INNER", "CANARY-inner", 1);
    CHECK(with([](std::string_view) { return st::Secrets::process().get("INNER"); }).get("X").view() == "CANARY-inner");
    CHECK(with([](std::string_view) { return st::Secrets::process().try_get("INNER"); }).get("X").view() ==
          "CANARY-inner");

    CHECK(!with([](std::string_view) { return std::optional<std::string>(); }).find("X"));
    CHECK(!with([](std::string_view) { return static_cast<const char *>(nullptr); }).find("X"));
    CHECK(!with([](std::string_view) { return st::Secrets::process().try_get("NOWHERE"); }).find("X"));
    FAILS(with([](std::string_view) { return st::Secrets::process().try_get(""); }).try_get("X"),
          st::Status::invalid_argument, "name of a secret");
}

static void provider_answers_through_a_reply() {
    double timeout = 0;
    st::Secrets secrets = with([&](std::string_view key, st::Reply &reply) {
        timeout = reply.timeout().count();
        if (key == "GOOD") {
            reply.value("CANARY", 60s);
        } else if (key == "BAD") {
            reply.fail(st::Status::unavailable, "it sleeps");
        }
    });
    st::Secret found = secrets.get_with("GOOD", {60s, false, false});
    CHECK(found.value.view() == "CANARY" && found.provider == "mine" && found.source == st::Source::custom);
    CHECK(timeout > 10 && timeout <= 60);
    CHECK(secrets.get_with("GOOD", {0s, false, true}).cached);
    auto failed = secrets.try_get("BAD");
    FAILS(failed, st::Status::unavailable, "it sleeps");
    CHECK(failed.error().source() == st::Source::custom && failed.error().retryable());
    CHECK(!secrets.find("NEITHER"));
}

static void provider_exception_is_its_failure() {
    FAILS(with([](std::string_view) -> std::string {
              throw st::Error(st::Status::access_denied, "not you");
          }).try_get("X"),
          st::Status::access_denied, "not you");
    // The message of an exception may contain a secret.
    FAILS(with([](std::string_view) -> std::string { throw std::runtime_error("CANARY"); }).try_get("X"),
          st::Status::callback, "threw");
    FAILS(with([](std::string_view) -> std::string { throw 5; }).try_get("X"), st::Status::callback, "threw");
    FAILS(with([](std::string_view) -> std::string { throw std::bad_alloc(); }).try_get("X"), st::Status::no_memory,
          "");
    FAILS(with([](std::string_view, st::Reply &reply) {
              reply.value("CANARY");
              throw 5;
          }).try_get("X"),
          st::Status::callback, "threw");
}

// A provider's state is destroyed with its last owner.
static void provider_is_released_once() {
    auto state = std::make_shared<int>(0);
    auto provider = [state](std::string_view) mutable {
        ++*state;
        return std::string("CANARY");
    };
    st::Secrets secrets = chain();
    secrets.add_provider("mine", provider);
    CHECK(state.use_count() == 3);
    FAILS(secrets.try_add_provider("mine", provider), st::Status::invalid_argument, "already");
    FAILS(secrets.try_add_provider("other", provider, 7), st::Status::invalid_argument, "position");
    CHECK(state.use_count() == 3);
    secrets.add_provider("first", [](std::string_view) { return "CANARY-first"; }, 0);
    CHECK(secrets.get("X").view() == "CANARY-first" && *state == 0);
    secrets.close();
    CHECK(state.use_count() == 2);
    FAILS(secrets.try_add_provider("mine", provider), st::Status::invalid_argument, "closed");
    CHECK(state.use_count() == 2);
}

static std::string plain_function(std::string_view key) { return "CANARY-" + std::string(key); }

struct Functor {
    std::unique_ptr<int> not_copied = std::make_unique<int>(1);
    std::string operator()(std::string_view) const { return "CANARY" + std::to_string(*not_copied); }
};

static void provider_may_be_any_callable() {
    CHECK(with(plain_function).get("F").view() == "CANARY-F");
    CHECK(with(Functor()).get("F").view() == "CANARY1");
}

int main() {
    begin();
    provider_return_types();
    provider_answers_through_a_reply();
    provider_exception_is_its_failure();
    provider_is_released_once();
    provider_may_be_any_callable();
    return 0;
}
