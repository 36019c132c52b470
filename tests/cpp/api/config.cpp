// Settings, typed and as text.
#include "check.hpp"

#include <cmath>
#include <filesystem>

using namespace std::chrono_literals;

static bool describes(const st::Config &config, const char *text) {
    return st::Secrets::open(config).describe().find(text) != std::string::npos;
}

static void settings_reach_the_library() {
    CHECK(describes(st::Config().timeout(2500ms), "\"timeout\": 2.5"));
    CHECK(describes(st::Config().timeout(1min), "\"timeout\": 60.0"));
    CHECK(describes(st::Config().env_prefix("MYAPP"), "\"prefix\": \"MYAPP\""));
    CHECK(describes(st::Config().set("env_prefix", "MYAPP"), "\"prefix\": \"MYAPP\""));
    CHECK(describes(st::Config().parse(R"({"timeout": 7})"), "\"timeout\": 7.0"));
    CHECK(!describes(st::Config().providers({"env"}), "\"name\": \"file\""));
    std::vector<std::string> providers = {"file", "env"};
    CHECK(describes(st::Config().set_list("providers", providers), "\"name\": \"file\""));
}

static void every_typed_setting_is_valid() {
    st::Config config;
    config.providers({"env"}).env_prefix("P").file_path("~/s.json").strict_permissions(true).timeout(1s).cache_ttl(2s);
    config.miss_ttl(3s).max_stale(1h).max_backoff(9s).max_attempts(2);
    config.aws_secret_name("a").aws_region("r").aws_profile("p").aws_endpoint_url("http://localhost:1");
    config.aws_role_arn("a").aws_external_id("CANARY").aws_role_session_name("n");
    config.set_list("aws_secret_name", {"a", "b"}).aws_version_id("v").aws_version_stage("s");
    config.vault_url("http://localhost:1").vault_mount("m").vault_path("p").vault_kv_version("2").vault_namespace("n");
    config.vault_ca_cert("/c.pem").vault_token("CANARY").vault_token_file("/t").vault_auth("token").vault_auth_mount(
        "m");
    config.vault_role_id("i").vault_secret_id("CANARY").vault_secret_id_file("/s").vault_secret_id_wrapped(false);
    config.vault_role("r").vault_jwt_file("/j").vault_username("u").vault_password("CANARY").vault_password_file("/p");
    config.vault_client_cert("/c.pem")
        .vault_client_key("/c.key")
        .vault_aws_region("eu-west-1")
        .vault_aws_server_id("i");
    config.set_list("vault_path", {"a", "b"});
    config.share("off").share_dir("/dev/shm/s").share_key("CANARY");
    config.key("CANARY").key_file("/k").previous_keys({"CANARY"}).generate(false);
    CHECK(config.error().status() == st::Status::ok);
}

static void paths_may_be_those_of_the_standard_library() {
    std::filesystem::path path = std::filesystem::path("/nowhere") / "secrets.json";
    CHECK(describes(st::Config().file_path(path), "/nowhere/secrets.json"));
    st::Config config;
    config.file_path(path).vault_ca_cert(path).vault_token_file(path).vault_secret_id_file(path).vault_jwt_file(path);
    config.vault_password_file(path).vault_client_cert(path).vault_client_key(path).google_credentials_file(path);
    config.kubernetes_ca_cert(path).kubernetes_token_file(path).kubernetes_client_cert(path);
    config.kubernetes_client_key(path).aws_agent_token_file(path);
    config.share_ca_cert(path).share_client_cert(path).share_client_key(path);
    config.share_dir(path).key_file(path).state_dir(path).database(path).audit_database(path);
    CHECK(config.error().status() == st::Status::ok);
}

static void invalid_setting_fails_open() {
    st::Config config;
    config.set("filepath", "x").timeout(-1s).strict_permissions(true);
    CHECK(config.error().status() == st::Status::config);
    FAILS(st::Secrets::try_open(config), st::Status::config, "file_path");
    FAILS(st::Cipher::try_open(config), st::Status::config, "file_path");
    THROWS(st::Secrets::open(st::Config().timeout(0s)), st::Status::config, "timeout");
    THROWS(st::Secrets::open(st::Config().timeout(-1500ms)), st::Status::config, "timeout");
    THROWS(st::Secrets::open(st::Config().timeout(st::Seconds(std::nan("")))), st::Status::config, "timeout");
    THROWS(st::Secrets::open(st::Config().parse("{")), st::Status::config, "");
    THROWS(st::Secrets::open(st::Config().providers({"enviroment"})), st::Status::config, "env");
    // A moved-from configuration is not one without settings.
    st::Config moved = std::move(config);
    // NOLINTNEXTLINE(bugprone-use-after-move)
    FAILS(st::Secrets::try_open(config), st::Status::invalid_argument, "moved from");
    config = st::Config().timeout(4s);
    CHECK(describes(config, "\"timeout\": 4.0"));
    FAILS(st::Secrets::try_open(moved), st::Status::config, "file_path");
}

static void lists_may_contain_any_text() {
    std::string odd = "CANARY \"\\ \t\x01 größe";
    std::string token = st::Cipher::open(st::Config().key(odd)).encrypt("CANARY");
    st::Cipher cipher = st::Cipher::open(st::Config().key("CANARY new").previous_keys({"CANARY other", odd}));
    CHECK(cipher.decrypt(token).view() == "CANARY");

    std::string earlier = st::Cipher::open(st::Config().key(*MadeTexts().begin())).encrypt("CANARY");
    st::Config made = st::Config().key("CANARY new").set_list("previous_keys", MadeTexts());
    CHECK(st::Cipher::open(made).decrypt(earlier).view() == "CANARY");
}

static void durations_of_any_size() {
    CHECK(describes(st::Config().timeout(1250ms), "\"timeout\": 1.25"));
    CHECK(describes(st::Config().timeout(1000h), "\"timeout\": 3600000.0"));
    for (st::Seconds time : {st::Seconds(1e9), st::Seconds(4e17), st::Seconds(1e300), st::forever}) {
        // The library decides whether the value is valid.
        auto opened = st::Secrets::try_open(st::Config().cache_ttl(time));
        CHECK(opened.ok() || opened.status() == st::Status::config);
    }
}

int main() {
    begin();
    settings_reach_the_library();
    every_typed_setting_is_valid();
    paths_may_be_those_of_the_standard_library();
    invalid_setting_fails_open();
    lists_may_contain_any_text();
    durations_of_any_size();
    return 0;
}
