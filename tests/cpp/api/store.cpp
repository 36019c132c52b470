// The store: provider configuration, hardware prices, credentials, the audit trail.
#include "check.hpp"

#include <filesystem>
#include <stdexcept>

using namespace std::chrono_literals;

static bool has(std::string_view json, std::string_view part) { return json.find(part) != std::string_view::npos; }

static void provider_configuration(const st::Store &store) {
    CHECK(store.provider_config_get("replicate").view() == "{}");
    store.provider_config_save("replicate", R"({"cost_limit_amount": 25.0, "webhook_secret": "CANARY"})");
    store.provider_config_update("replicate", R"({"webhook_url": "https://x"})");
    CHECK(has(store.provider_config_get("replicate").view(), R"("webhook_url": "https://x")"));
    CHECK(has(store.provider_webhook_get("replicate").view(), "CANARY"));
    CHECK(has(store.provider_cost_limit_get("replicate").view(), "25.0"));
    CHECK(has(store.provider_config_list(), "\"replicate\""));
    THROWS(store.provider_config_save("replicate", "[CANARY]"), st::Status::invalid_argument, "");
    CHECK(store.provider_config_delete("replicate") && !store.provider_config_delete("replicate"));
}

static void prices(const st::Store &store) {
    CHECK(has(store.hardware_info_get(), "gpu-l40s"));
    CHECK(store.hardware_info_get() == st::Store::hardware_info_defaults());
    CHECK(store.hardware_default_cost_per_hour() > 3.5);
    double cost = store.hardware_cost_per_hour("gpu-l40s");
    CHECK(cost > 3.5 && cost < 3.52);
    store.hardware_info_set(R"({"mine": {"name": "Mine", "cost_per_second": 1}})");
    CHECK(store.hardware_cost_per_hour("mine") >= 3600.0);
    FAILS(store.try_hardware_cost_per_hour("gpu-l40s"), st::Status::not_found, "gpu-l40s");
    store.hardware_info_clear();
    FAILS(store.try_hardware_cost_per_hour("mine"), st::Status::not_found, "mine");
}

static void credentials(const st::Store &store) {
    std::string file = path_of("credential.key");
    st::Cipher cipher = st::Cipher::open(st::Config().key_file(file));
    st::Secrets secrets = st::Secrets::open(st::Config().providers({"env"}));
    st::CredentialName token{7, "replicate", "api_token"};
    setenv("SHARED_TOKEN", "CANARY-shared", 1);

    FAILS(store.try_credential_get(token, cipher), st::Status::not_found, "api_token");
    st::ResolvedCredential found = store.credential_resolve(token, "SHARED_TOKEN", cipher, secrets);
    CHECK(found.value.view() == "CANARY-shared" && found.origin == st::ResolvedCredential::Origin::global);
    using Origin = st::ResolvedCredential::Origin;
    st::CredentialName nobody{-1, "replicate", "api_token"};
    CHECK(!store.credential_exists(token) && !store.credential_mark_used(token) && !store.credential_deactivate(token));
    CHECK(store.credential_source(token, "SHARED_TOKEN", secrets) == Origin::global);
    CHECK(store.credential_source(token, "", secrets) == Origin::none);
    std::int64_t id = store.credential_set(token, "CANARY-old", cipher);
    CHECK(store.credential_source(token, "", secrets) == Origin::user);
    CHECK(store.credential_resolve(token, "", cipher, secrets).origin == Origin::user);
    CHECK(store.credential_resolve(nobody, "SHARED_TOKEN", cipher, secrets).origin == Origin::global);
    FAILS(store.try_credential_resolve(nobody, "", cipher, secrets), st::Status::not_found, "no user");
    CHECK(store.credential_exists(token) && store.credential_mark_used(token) && store.credential_deactivate(token));
    CHECK(!store.credential_exists(token));
    CHECK(store.credential_set(token, "CANARY-own", cipher) == id);
    CHECK(store.credential_get(token, cipher).view() == "CANARY-own");
    found = store.credential_resolve(token, "SHARED_TOKEN", cipher, secrets);
    CHECK(found.value.view() == "CANARY-own" && found.origin == st::ResolvedCredential::Origin::user);
    CHECK(has(store.credential_list(7, "replicate"), "api_token") && has(store.credential_list(), "api_token"));
    CHECK(store.credential_list(8) == "[]" && !has(store.credential_list(), "CANARY"));

    // Closed handles do not fall back to those of the process.
    FAILS(store.try_credential_get(token, st::Cipher()), st::Status::invalid_argument, "closed");
    FAILS(store.try_credential_resolve(token, "X", cipher, st::Secrets()), st::Status::invalid_argument, "closed");
    FAILS(store.try_credential_source(token, "X", st::Secrets()), st::Status::invalid_argument, "closed");

    store.credentials_rotate(cipher);
    CHECK(store.credential_get(token, cipher).view() == "CANARY-own");
    cipher.rotate_key();
    std::uint64_t most = 0;
    std::string report = store.credentials_reencrypt(cipher, false, [&](std::uint64_t done, std::uint64_t total) {
        CHECK(done <= total && total == 1);
        most = done;
        return true;
    });
    CHECK(most == 1 && has(report, "\"reencrypted\":1"));
    CHECK(has(store.credentials_reencrypt(cipher), "\"unchanged\":1"));

    // A progress callback that returns false or throws stops the call.
    cipher.rotate_key();
    THROWS(store.credentials_reencrypt(cipher, false, [](std::uint64_t, std::uint64_t) { return false; }),
           st::Status::abandoned, "");
    auto throwing = [](std::uint64_t, std::uint64_t) -> bool { throw std::logic_error("stop"); };
    FAILS(store.try_credentials_reencrypt(cipher, false, throwing), st::Status::abandoned, "");
    try {
        (void)store.credentials_reencrypt(cipher, false, throwing);
        NOTHING_THROWN();
    } catch (const std::logic_error &) {
    }
    CHECK(has(store.credentials_reencrypt(cipher, true), "\"reencrypted\":1"));
    CHECK(store.credential_delete(token) && !store.credential_delete(token));
}

static void the_audit_trail(const st::Store &store) {
    st::Store admin = store.as({1, "admin", "127.0.0.1"});
    std::int64_t id = admin.audit_log({"job.submitted", "submitted it", "job", "17", R"({"a": 1})"});
    CHECK(id > 1 && store.audit_log({"config.changed", "changed it"}) == id + 1);
    std::string entries = store.audit_query(R"({"event_type": "job.submitted"})");
    CHECK(has(entries, "\"admin\"") && has(entries, "\"127.0.0.1\"") && has(entries, "\"17\""));
    CHECK(has(store.audit_query(), "credential.created") && !has(store.audit_query(), "CANARY"));
    FAILS(store.try_audit_query(R"({"event_typ": "x"})"), st::Status::invalid_argument, "event_type");
    st::AuditVerdict verdict = store.audit_verify();
    CHECK(verdict.broken_id == 0 && has(verdict.report, "\"valid\":true"));

    CHECK(has(st::Store::audit_event_types(), "security.suspicious"));
    CHECK(has(store.audit_stats(), "\"job.submitted\":1"));
    st::AuditExport part = store.audit_export(R"({"event_type": "job.submitted"})");
    CHECK(part.last_id == id && has(part.text, "submitted it"));
    CHECK(has(store.audit_export({}, st::AuditFormat::csv).text, "id,timestamp,"));
    CHECK(store.audit_send(R"({"after_id": 1000000})", R"({"url": "https://siem.example.com/"})") == 0);
    FAILS(store.try_audit_send({}, R"({"url": 5})"), st::Status::invalid_argument, "`url`");
    CHECK(has(store.audit_retain(36500), "\"removed\":0"));
}

static void files(const st::Store &store) {
    CHECK(has(store.describe(), "\"reason\":\"state_dir\""));
    store.backup(path_of("jobs.db"));
    FAILS(store.try_backup(path_of("jobs.db")), st::Status::io, "exists");
    store.backup(path_of("jobs.db"), st::StoreDatabase::main, true);
    store.backup(std::filesystem::path(path_of("audit.db")), st::StoreDatabase::audit);
    st::Store copy = st::Store::open(st::Config().database(path_of("jobs.db")));
    CHECK(copy.provider_config_list() == store.provider_config_list());
}

static void process_store() {
    st::Store::reset(st::Config().state_dir(path_of("process")));
    st::Store::process().provider_config_save("x", "{}");
    CHECK(has(st::Store::process().provider_config_list(), "\"x\""));
    st::Store::process().close();
    FAILS(st::Store::try_reset(st::Config().set("state_directory", "x")), st::Status::config, "state_dir");
    CHECK(has(st::Store::process().provider_config_list(), "\"x\""));
    st::Store::reset();
    CHECK(!has(st::Store::process().provider_config_list(), "\"x\""));
    FAILS(st::Store().try_audit_query(), st::Status::invalid_argument, "closed");
    FAILS(st::Store().try_as({}), st::Status::invalid_argument, "closed");
}

int main() {
    begin();
    st::Store store = st::Store::open(st::Config().state_dir(path_of("state")).timeout(60s));
    provider_configuration(store);
    prices(store);
    credentials(store);
    the_audit_trail(store);
    files(store);
    process_store();
    return 0;
}
