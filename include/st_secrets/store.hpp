/* SimpleTuner's databases: provider configuration, hardware prices, stored credentials, the audit trail. */
#ifndef ST_SECRETS_STORE_HPP
#define ST_SECRETS_STORE_HPP

#include "cipher.hpp"
#include "loader.hpp"
#include "path.hpp"
#include "secrets.hpp"

namespace st {

/// The actor that the audit trail records. Unset members are recorded as unknown.
struct Actor {
    std::int64_t user_id = -1;
    std::string_view username{};
    std::string_view ip{};
};

/// Identifies a credential of a user. A negative `user_id` means no user, where that is allowed.
struct CredentialName {
    std::int64_t user_id = 0;
    std::string_view provider{};
    std::string_view name{};
};

/// A credential for a user, and its origin.
struct ResolvedCredential {
    enum class Origin : std::int32_t {
        /// There is none.
        none = ST_CREDENTIAL_NONE,
        /// The user's own credential.
        user = ST_CREDENTIAL_USER,
        /// The secret shared by all users.
        global = ST_CREDENTIAL_GLOBAL,
    };
    Bytes value;
    Origin origin = Origin::none;
};

/// An audit entry of the program. The target is optional, and so are the details, which are a JSON object.
struct AuditEntry {
    std::string_view event_type{};
    std::string_view action{};
    std::string_view target_type{};
    std::string_view target_id{};
    std::string_view details{};
};

/// The result of verifying the audit trail.
struct AuditVerdict {
    /// The id of the first invalid entry; 0 if the trail is intact.
    std::int64_t broken_id = 0;
    /// A JSON object that describes the violation.
    std::string report;
};

/// The format of an export of the audit trail.
enum class AuditFormat : std::int32_t {
    json_lines = ST_AUDIT_JSON_LINES,
    csv = ST_AUDIT_CSV,
};

/// A part of the audit trail.
struct AuditExport {
    std::string text;
    /// The id of the last entry, after which the next part begins (`after_id` of the filter); 0 if there is none.
    std::int64_t last_id = 0;
};

/// A database of a store.
enum class StoreDatabase : std::uint32_t {
    /// Provider configuration, and credentials unless they have a file of their own.
    main = 0,
    audit = ST_BACKUP_AUDIT,
    credentials = ST_BACKUP_CREDENTIALS,
};

/// The databases of a state directory. JSON is passed and returned as text, or as `Bytes` where it may contain a
/// secret.
class Store {
public:
    /// A closed handle; see `open` and `process`.
    Store() noexcept = default;

    /// Opens a store. Settings: `state_dir`, `database`, `audit_database`, `timeout`.
    static Store open(const Config &config = Config()) { return try_open(config).value(); }
    static Result<Store> try_open(const Config &config = Config()) {
        auto handle = Handle::open(config, ::st_store_open);
        return handle ? Result<Store>(Store(std::move(*handle))) : Result<Store>(handle.error());
    }
    /// The store shared by the whole process, opened on first use. `close()` does not close it.
    static Store process() noexcept { return Store(Handle(nullptr)); }
    /// Replaces the process-wide store by one with these settings.
    static void reset(const Config &config) { try_reset(config).value(); }
    static Result<void> try_reset(const Config &config) { return detail::reset(config, ::st_store_reset); }
    /// Closes the process-wide store; its next use opens a new one.
    static void reset() { try_reset().value(); }
    static Result<void> try_reset() {
        return detail::result_of<void>([](st_error *error) { ::st_store_reset(nullptr, error); });
    }
    /// Returns another handle of the same store, whose changes are recorded under this actor.
    Store as(const Actor &actor) const { return try_as(actor).value(); }
    Result<Store> try_as(const Actor &actor) const noexcept {
        st_store *raw = nullptr;
        Result<void> made = handle_.call<void>([&](const st_store *store, st_error *error) {
            ::st_store_as(store, actor.user_id, actor.username.data(), actor.username.size(), actor.ip.data(),
                          actor.ip.size(), &raw, error);
        });
        return made ? Result<Store>(Store(Handle(raw))) : Result<Store>(made.error());
    }

    /// Frees the handle. May be called again.
    void close() noexcept { handle_.close(); }
    [[nodiscard]] bool is_open() const noexcept { return handle_.is_open(); }

    /// Returns which databases the store uses, and why, as a JSON object.
    std::string describe() const { return try_describe().value(); }
    Result<std::string> try_describe() const { return handle_.text(::st_store_describe); }
    /// Writes a complete copy of a database to a file while the database is in use. An existing database of this name
    /// is overwritten with `replace` only.
    void backup(PathText path, StoreDatabase which = StoreDatabase::main, bool replace = false) const {
        try_backup(path, which, replace).value();
    }
    Result<void> try_backup(PathText file, StoreDatabase which = StoreDatabase::main,
                            bool replace = false) const noexcept {
        const std::string_view path = file;
        return handle_.call<void>([&](const st_store *store, st_error *error) {
            const std::uint32_t replacing = replace ? static_cast<std::uint32_t>(ST_BACKUP_REPLACE) : 0u;
            ::st_store_backup(store, detail::data(path), path.size(), static_cast<std::uint32_t>(which) | replacing,
                              error);
        });
    }

    /// Returns the configuration of a provider as it was written; `{}` if it has none.
    Bytes provider_config_get(std::string_view provider) const { return try_provider_config_get(provider).value(); }
    Result<Bytes> try_provider_config_get(std::string_view provider) const noexcept {
        return get_by_name(::st_provider_config_get, provider);
    }
    /// Replaces the configuration of a provider with a JSON object.
    void provider_config_save(std::string_view provider, std::string_view json) const {
        try_provider_config_save(provider, json).value();
    }
    Result<void> try_provider_config_save(std::string_view provider, std::string_view json) const noexcept {
        return handle_.call<void>([&](const st_store *store, st_error *error) {
            ::st_provider_config_save(store, detail::data(provider), provider.size(), detail::data(json), json.size(),
                                      error);
        });
    }
    /// Merges the members of a JSON object into the configuration of a provider.
    void provider_config_update(std::string_view provider, std::string_view json) const {
        try_provider_config_update(provider, json).value();
    }
    Result<void> try_provider_config_update(std::string_view provider, std::string_view json) const noexcept {
        return handle_.call<void>([&](const st_store *store, st_error *error) {
            ::st_provider_config_update(store, detail::data(provider), provider.size(), detail::data(json), json.size(),
                                        error);
        });
    }
    /// Removes the configuration of a provider and returns whether it existed.
    bool provider_config_delete(std::string_view provider) const {
        return try_provider_config_delete(provider).value();
    }
    Result<bool> try_provider_config_delete(std::string_view provider) const noexcept {
        return handle_.call<bool>([&](const st_store *store, bool &existed, st_error *error) {
            ::st_provider_config_delete(store, detail::data(provider), provider.size(), &existed, error);
        });
    }
    /// Returns the names of the configured providers, as a JSON array.
    std::string provider_config_list() const { return try_provider_config_list().value(); }
    Result<std::string> try_provider_config_list() const { return handle_.text(::st_provider_config_list); }
    /// Return the webhook settings and the cost limit of a provider as JSON objects, with defaults filled in.
    Bytes provider_webhook_get(std::string_view provider) const { return try_provider_webhook_get(provider).value(); }
    Result<Bytes> try_provider_webhook_get(std::string_view provider) const noexcept {
        return get_by_name(::st_provider_webhook_get, provider);
    }
    Bytes provider_cost_limit_get(std::string_view provider) const {
        return try_provider_cost_limit_get(provider).value();
    }
    Result<Bytes> try_provider_cost_limit_get(std::string_view provider) const noexcept {
        return get_by_name(::st_provider_cost_limit_get, provider);
    }

    /// Returns the hardware prices, as a JSON object.
    std::string hardware_info_get() const { return try_hardware_info_get().value(); }
    Result<std::string> try_hardware_info_get() const { return handle_.text(::st_hardware_info_get); }
    /// Returns the built-in default prices.
    static std::string hardware_info_defaults() { return try_hardware_info_defaults().value(); }
    static Result<std::string> try_hardware_info_defaults() { return detail::text_of(::st_hardware_info_defaults); }
    /// Replaces the cached prices with a JSON object.
    void hardware_info_set(std::string_view json) const { try_hardware_info_set(json).value(); }
    Result<void> try_hardware_info_set(std::string_view json) const noexcept {
        return handle_.call<void>([&](const st_store *store, st_error *error) {
            ::st_hardware_info_set(store, detail::data(json), json.size(), error);
        });
    }
    /// Removes the cached prices.
    void hardware_info_clear() const { try_hardware_info_clear().value(); }
    Result<void> try_hardware_info_clear() const noexcept { return handle_.call<void>(::st_hardware_info_clear); }
    /// Returns the hourly price of a device.
    double hardware_cost_per_hour(std::string_view hardware_id) const {
        return try_hardware_cost_per_hour(hardware_id).value();
    }
    Result<double> try_hardware_cost_per_hour(std::string_view hardware_id) const noexcept {
        return handle_.call<double>([&](const st_store *store, double &cost, st_error *error) {
            ::st_hardware_cost_per_hour(store, detail::data(hardware_id), hardware_id.size(), &cost, error);
        });
    }
    /// Returns the hourly price of the default device, `gpu-l40s`.
    double hardware_default_cost_per_hour() const { return try_hardware_default_cost_per_hour().value(); }
    Result<double> try_hardware_default_cost_per_hour() const noexcept {
        return handle_.call<double>([](const st_store *store, double &cost, st_error *error) {
            ::st_hardware_default_cost_per_hour(store, &cost, error);
        });
    }

    /// Encrypts and stores a credential of a user, and returns its id.
    std::int64_t credential_set(const CredentialName &of, std::string_view value,
                                const Cipher &cipher = Cipher::process()) const {
        return try_credential_set(of, value, cipher).value();
    }
    Result<std::int64_t> try_credential_set(const CredentialName &of, std::string_view value,
                                            const Cipher &cipher = Cipher::process()) const noexcept {
        return with<std::int64_t>(cipher, [&](const st_store *store, std::int64_t &id, st_error *error) {
            ::st_credential_set(store, cipher.raw(), of.user_id, detail::data(of.provider), of.provider.size(),
                                detail::data(of.name), of.name.size(), detail::data(value), value.size(), &id, error);
        });
    }
    /// Returns the value of a user's active credential.
    Bytes credential_get(const CredentialName &of, const Cipher &cipher = Cipher::process()) const {
        return try_credential_get(of, cipher).value();
    }
    Result<Bytes> try_credential_get(const CredentialName &of,
                                     const Cipher &cipher = Cipher::process()) const noexcept {
        return with<Bytes>(cipher, [&](const st_store *store, Bytes &value, st_error *error) {
            ::st_credential_get(store, cipher.raw(), of.user_id, detail::data(of.provider), of.provider.size(),
                                detail::data(of.name), of.name.size(), value.raw(), error);
        });
    }
    /// Removes a credential of a user and returns whether it existed.
    bool credential_delete(const CredentialName &of) const { return try_credential_delete(of).value(); }
    Result<bool> try_credential_delete(const CredentialName &of) const noexcept {
        return flag_of(::st_credential_delete, of);
    }
    /// Makes a credential of a user inactive, until it is set again, and returns whether it existed.
    bool credential_deactivate(const CredentialName &of) const { return try_credential_deactivate(of).value(); }
    Result<bool> try_credential_deactivate(const CredentialName &of) const noexcept {
        return flag_of(::st_credential_deactivate, of);
    }
    /// Records the use of an active credential that the program has from an earlier call, and returns whether there is
    /// one.
    bool credential_mark_used(const CredentialName &of) const { return try_credential_mark_used(of).value(); }
    Result<bool> try_credential_mark_used(const CredentialName &of) const noexcept {
        return flag_of(::st_credential_mark_used, of);
    }
    /// Returns whether a user has an active credential of this name.
    bool credential_exists(const CredentialName &of) const { return try_credential_exists(of).value(); }
    Result<bool> try_credential_exists(const CredentialName &of) const noexcept {
        return flag_of(::st_credential_exists, of);
    }
    /// Returns the credentials of a user (negative: all users) and a provider (empty: all providers) as a JSON array,
    /// without their values.
    std::string credential_list(std::int64_t user_id = -1, std::string_view provider = {}) const {
        return try_credential_list(user_id, provider).value();
    }
    Result<std::string> try_credential_list(std::int64_t user_id = -1, std::string_view provider = {}) const {
        return handle_.text([&](const st_store *store, st_bytes *json, st_error *error) {
            ::st_credential_list(store, user_id, provider.empty() ? nullptr : provider.data(), provider.size(), json,
                                 error);
        });
    }
    /// Returns the user's own credential, or else the secret `global_key`; an empty key means that there is none.
    ResolvedCredential credential_resolve(const CredentialName &of, std::string_view global_key,
                                          const Cipher &cipher = Cipher::process(),
                                          const Secrets &secrets = Secrets::process()) const {
        return try_credential_resolve(of, global_key, cipher, secrets).value();
    }
    Result<ResolvedCredential> try_credential_resolve(const CredentialName &of, std::string_view global_key,
                                                      const Cipher &cipher = Cipher::process(),
                                                      const Secrets &secrets = Secrets::process()) const noexcept {
        if (!secrets.is_open()) {
            return Handle::closed();
        }
        return with<ResolvedCredential>(cipher, [&](const st_store *store, ResolvedCredential &found, st_error *error) {
            std::int32_t origin = 0;
            ::st_credential_resolve(store, cipher.raw(), secrets.raw(), of.user_id, detail::data(of.provider),
                                    of.provider.size(), detail::data(of.name), of.name.size(),
                                    global_key.empty() ? nullptr : global_key.data(), global_key.size(), &origin,
                                    found.value.raw(), error);
            found.origin = static_cast<ResolvedCredential::Origin>(origin);
        });
    }
    /// Returns where `credential_resolve` would find the credential, without using it.
    ResolvedCredential::Origin credential_source(const CredentialName &of, std::string_view global_key,
                                                 const Secrets &secrets = Secrets::process()) const {
        return try_credential_source(of, global_key, secrets).value();
    }
    Result<ResolvedCredential::Origin>
    try_credential_source(const CredentialName &of, std::string_view global_key,
                          const Secrets &secrets = Secrets::process()) const noexcept {
        if (!secrets.is_open()) {
            return Handle::closed();
        }
        return handle_.call<ResolvedCredential::Origin>([&](const st_store *store, ResolvedCredential::Origin &found,
                                                            st_error *error) {
            std::int32_t origin = 0;
            ::st_credential_source(store, secrets.raw(), of.user_id, detail::data(of.provider), of.provider.size(),
                                   detail::data(of.name), of.name.size(),
                                   global_key.empty() ? nullptr : global_key.data(), global_key.size(), &origin, error);
            found = static_cast<ResolvedCredential::Origin>(origin);
        });
    }
    /// Creates a new key and re-encrypts every stored credential under it.
    void credentials_rotate(const Cipher &cipher = Cipher::process()) const { try_credentials_rotate(cipher).value(); }
    Result<void> try_credentials_rotate(const Cipher &cipher = Cipher::process()) const noexcept {
        return with<void>(cipher, [&](const st_store *store, st_error *error) {
            ::st_credentials_rotate(store, cipher.raw(), error);
        });
    }
    /// Re-encrypts every stored credential under the newest key, with `plain` unencrypted ones too, and returns a JSON
    /// report.
    std::string credentials_reencrypt(const Cipher &cipher = Cipher::process(), bool plain = false) const {
        return try_credentials_reencrypt(cipher, plain).value();
    }
    Result<std::string> try_credentials_reencrypt(const Cipher &cipher = Cipher::process(), bool plain = false) const {
        return reencrypt(cipher, plain, nullptr, nullptr);
    }
    /// As above, with `bool progress(std::uint64_t done, std::uint64_t total)`. If it returns `false` or throws,
    /// nothing is changed.
    template <class F>
    std::string credentials_reencrypt(const Cipher &cipher, bool plain, F &&progress) const {
        Progress<F> context(progress);
        auto report = reencrypt(cipher, plain, Progress<F>::call, &context);
        context.rethrow();
        return std::move(report).value();
    }
    template <class F>
    Result<std::string> try_credentials_reencrypt(const Cipher &cipher, bool plain, F &&progress) const {
        Progress<F> context(progress);
        return reencrypt(cipher, plain, Progress<F>::call, &context);
    }

    /// Appends an entry to the audit trail and returns its id.
    std::int64_t audit_log(const AuditEntry &entry) const { return try_audit_log(entry).value(); }
    Result<std::int64_t> try_audit_log(const AuditEntry &entry) const noexcept {
        return handle_.call<std::int64_t>([&](const st_store *store, std::int64_t &id, st_error *error) {
            ::st_audit_log(store, detail::data(entry.event_type), entry.event_type.size(), detail::data(entry.action),
                           entry.action.size(), entry.target_type.data(), entry.target_type.size(),
                           entry.target_id.data(), entry.target_id.size(), entry.details.data(), entry.details.size(),
                           &id, error);
        });
    }
    /// Returns the entries of the audit trail, newest first, as a JSON array: all, or those that match the filter, a
    /// JSON object.
    std::string audit_query(std::string_view filter = {}) const { return try_audit_query(filter).value(); }
    Result<std::string> try_audit_query(std::string_view filter = {}) const {
        return handle_.text([&](const st_store *store, st_bytes *json, st_error *error) {
            ::st_audit_query(store, filter.data(), filter.size(), json, error);
        });
    }
    /// Returns the event types of SimpleTuner, as a JSON array of objects. An entry may have any other type.
    static std::string audit_event_types() { return try_audit_event_types().value(); }
    static Result<std::string> try_audit_event_types() { return detail::text_of(::st_audit_event_types); }
    /// Returns statistics of the audit trail, as a JSON object.
    std::string audit_stats() const { return try_audit_stats().value(); }
    Result<std::string> try_audit_stats() const { return handle_.text(::st_audit_stats); }
    /// Exports the entries that match the filter as text, oldest first, at most 10 000.
    AuditExport audit_export(std::string_view filter = {}, AuditFormat format = AuditFormat::json_lines) const {
        return try_audit_export(filter, format).value();
    }
    Result<AuditExport> try_audit_export(std::string_view filter = {},
                                         AuditFormat format = AuditFormat::json_lines) const {
        return handle_.call<AuditExport>([&](const st_store *store, AuditExport &part, st_error *error) {
            Bytes text;
            ::st_audit_export(store, filter.data(), filter.size(), static_cast<std::int32_t>(format), text.raw(),
                              &part.last_id, error);
            part.text.assign(text.view());
        });
    }
    /// Sends the entries that match the filter to a webhook (a JSON object of settings), oldest first. Returns the id
    /// of the last one that was delivered or skipped, 0 if none matches.
    std::int64_t audit_send(std::string_view filter, std::string_view webhook) const {
        return try_audit_send(filter, webhook).value();
    }
    Result<std::int64_t> try_audit_send(std::string_view filter, std::string_view webhook) const noexcept {
        return handle_.call<std::int64_t>([&](const st_store *store, std::int64_t &last, st_error *error) {
            ::st_audit_send(store, filter.data(), filter.size(), detail::data(webhook), webhook.size(), &last, error);
        });
    }
    /// Removes entries that are more than this many days old (0: as SimpleTuner is configured) and returns a JSON
    /// report.
    std::string audit_retain(std::int32_t days = 0) const { return try_audit_retain(days).value(); }
    Result<std::string> try_audit_retain(std::int32_t days = 0) const {
        return handle_.text([&](const st_store *store, st_bytes *report, st_error *error) {
            ::st_audit_retain(store, days, report, error);
        });
    }
    /// Verifies the chain from entry `first` to `last`; 0 is the first or the last entry of the trail.
    AuditVerdict audit_verify(std::int64_t first = 0, std::int64_t last = 0) const {
        return try_audit_verify(first, last).value();
    }
    Result<AuditVerdict> try_audit_verify(std::int64_t first = 0, std::int64_t last = 0) const {
        return handle_.call<AuditVerdict>([&](const st_store *store, AuditVerdict &verdict, st_error *error) {
            Bytes report;
            ::st_audit_verify(store, first, last, &verdict.broken_id, report.raw(), error);
            verdict.report.assign(report.view());
        });
    }

    /// The handle for calls of the C functions; NULL for the store of the process and for a closed one.
    [[nodiscard]] const st_store *raw() const noexcept { return handle_.raw(); }

private:
    using Handle = detail::Handle<st_store, ::st_store_free>;
    explicit Store(Handle handle) noexcept : handle_(std::move(handle)) {}

    template <class F>
    class Progress : public detail::Thrown {
    public:
        explicit Progress(F &progress) noexcept : progress_(progress) {}
        static bool call(void *context, std::uint64_t done, std::uint64_t total) noexcept {
            auto *self = static_cast<Progress *>(context);
            bool proceed = false;
            self->catching([&] { proceed = self->progress_(done, total); });
            return proceed;
        }

    private:
        F &progress_;
    };

    /// A call that takes a cipher. A closed one is not passed on, because NULL is the cipher of the process.
    template <class R, class Call>
    Result<R> with(const Cipher &cipher, Call &&call) const {
        if (!cipher.is_open()) {
            return Handle::closed();
        }
        return handle_.call<R>(call);
    }

    /// A call about a credential that reports whether it exists.
    Result<bool> flag_of(st_status (*function)(const st_store *, std::int64_t, const char *, std::size_t, const char *,
                                               std::size_t, bool *, st_error *),
                         const CredentialName &of) const noexcept {
        return handle_.call<bool>([&](const st_store *store, bool &existed, st_error *error) {
            function(store, of.user_id, detail::data(of.provider), of.provider.size(), detail::data(of.name),
                     of.name.size(), &existed, error);
        });
    }

    Result<Bytes> get_by_name(st_status (*get)(const st_store *, const char *, std::size_t, st_bytes *, st_error *),
                              std::string_view name) const noexcept {
        return handle_.call<Bytes>([&](const st_store *store, Bytes &json, st_error *error) {
            get(store, detail::data(name), name.size(), json.raw(), error);
        });
    }

    Result<std::string> reencrypt(const Cipher &cipher, bool plain, st_progress_fn progress, void *context) const {
        return with<std::string>(cipher, [&](const st_store *store, std::string &out, st_error *error) {
            Bytes report;
            ::st_credentials_reencrypt(store, cipher.raw(), plain ? static_cast<std::uint32_t>(ST_REENCRYPT_PLAIN) : 0u,
                                       progress, context, report.raw(), error);
            out.assign(report.view());
        });
    }

    Handle handle_{};
};

} // namespace st

#endif
