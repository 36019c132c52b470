// A program without exceptions and RTTI: -fno-exceptions -fno-rtti.
#include "check.hpp"

#if ST_SECRETS_EXCEPTIONS
#error "this is to be compiled without exceptions"
#endif

using namespace std::chrono_literals;

int main() {
    begin();
    setenv("HF_TOKEN", "CANARY", 1);
    auto secrets = st::Secrets::try_open(st::Config().providers({"env"}).timeout(60s));
    CHECK(secrets);
    auto token = secrets->try_get("HF_TOKEN");
    CHECK(token && token->view() == "CANARY");
    FAILS(secrets->try_get("NOWHERE"), st::Status::not_found, "NOWHERE");
    FAILS(st::Secrets::try_open(st::Config().set("filepath", "x")), st::Status::config, "file_path");
    CHECK(secrets->try_add_provider("mine", [](std::string_view key, st::Reply &reply) {
        key == "GOOD" ? reply.value("CANARY-mine") : reply.fail(st::Status::unavailable, "it sleeps");
    }));
    CHECK(secrets->try_get("GOOD")->view() == "CANARY-mine");
    FAILS(secrets->try_get("BAD"), st::Status::unavailable, "it sleeps");

    auto cache = st::Cache::try_open({60s, 10, 60s});
    CHECK(cache && cache->try_set("k", "CANARY") && cache->try_get("k")->view() == "CANARY");
    CHECK(cache->try_set_object("o", std::string("CANARY")) && **cache->try_get_object<std::string>("o") == "CANARY");
    FAILS(cache->try_get_object<int>("o"), st::Status::wrong_type, "another type");
    CHECK(**cache->try_get_or_load_object("p", [] { return 7; }) == 7);
    CHECK(st::cached([](int n) { return 2 * n; }, {"twice"})(4) == 8);

    auto cipher = st::Cipher::try_open(st::Config().key("CANARY key"));
    CHECK(cipher && cipher->try_decrypt(*cipher->try_encrypt("CANARY"))->view() == "CANARY");
    FAILS(cipher->try_decrypt("x"), st::Status::bad_token, "");
    return 0;
}
