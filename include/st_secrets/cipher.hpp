/* Encryption of credentials, as SimpleTuner stores them. */
#ifndef ST_SECRETS_CIPHER_HPP
#define ST_SECRETS_CIPHER_HPP

#include "handle.hpp"

namespace st {

class Cipher {
public:
    /// A token under the newest key.
    struct Reencrypted {
        std::string token;
        /// Whether it differs from the one that was given.
        bool changed = false;
    };

    /// A closed one; see `open` and `process`.
    Cipher() noexcept = default;

    /// A cipher with these settings: `key`, `key_file`, `previous_keys`, `generate`.
    static Cipher open(const Config &config = Config()) { return try_open(config).value(); }
    static Result<Cipher> try_open(const Config &config = Config()) {
        auto handle = Handle::open(config, ::st_cipher_open);
        return handle ? Result<Cipher>(Cipher(std::move(*handle))) : Result<Cipher>(handle.error());
    }
    /// The cipher of the whole process, made on first use. Closing it leaves it alone.
    static Cipher process() noexcept { return Cipher(Handle(nullptr)); }
    /// Replaces the cipher of the whole process by one with these settings.
    static void reset(const Config &config) { try_reset(config).value(); }
    static Result<void> try_reset(const Config &config) { return detail::reset(config, ::st_cipher_reset); }
    /// Replaces it by a new one on its next use.
    static void reset() { try_reset().value(); }
    static Result<void> try_reset() {
        return detail::result_of<void>([](st_error *error) { ::st_cipher_reset(nullptr, error); });
    }

    void close() noexcept { handle_.close(); }
    [[nodiscard]] bool is_open() const noexcept { return handle_.is_open(); }

    /// A token for any bytes, up to 16 MiB, under the newest key.
    std::string encrypt(std::string_view plaintext) const { return try_encrypt(plaintext).value(); }
    Result<std::string> try_encrypt(std::string_view plaintext) const {
        return handle_.text([&](const st_cipher *cipher, st_bytes *token, st_error *error) {
            ::st_encrypt(cipher, detail::data(plaintext), plaintext.size(), token, error);
        });
    }
    /// Writes the token to a buffer, without a NUL, and tells its length. After `Status::buffer_too_small` the value of the
    /// result is the length that is needed; `(nullptr, 0)` asks for it alone.
    std::size_t encrypt_into(std::string_view plaintext, char *buffer, std::size_t capacity) const {
        return try_encrypt_into(plaintext, buffer, capacity).value();
    }
    Result<std::size_t> try_encrypt_into(std::string_view plaintext, char *buffer,
                                         std::size_t capacity) const noexcept {
        return handle_.call<std::size_t>([&](const st_cipher *cipher, std::size_t &len, st_error *error) {
            ::st_encrypt_into(cipher, detail::data(plaintext), plaintext.size(), buffer, capacity, &len, error);
        });
    }

    /// What a token was made of, under any of the keys.
    Bytes decrypt(std::string_view token) const { return try_decrypt(token).value(); }
    Result<Bytes> try_decrypt(std::string_view token) const noexcept {
        return handle_.call<Bytes>([&](const st_cipher *cipher, Bytes &plaintext, st_error *error) {
            ::st_decrypt(cipher, detail::data(token), token.size(), plaintext.raw(), error);
        });
    }
    /// As `encrypt_into`. A buffer of the token's own length is always large enough; it is the caller's to wipe.
    std::size_t decrypt_into(std::string_view token, char *buffer, std::size_t capacity) const {
        return try_decrypt_into(token, buffer, capacity).value();
    }
    Result<std::size_t> try_decrypt_into(std::string_view token, char *buffer, std::size_t capacity) const noexcept {
        return handle_.call<std::size_t>([&](const st_cipher *cipher, std::size_t &len, st_error *error) {
            ::st_decrypt_into(cipher, detail::data(token), token.size(), buffer, capacity, &len, error);
        });
    }

    /// Makes of a token one under the newest key.
    Reencrypted reencrypt(std::string_view token) const { return try_reencrypt(token).value(); }
    Result<Reencrypted> try_reencrypt(std::string_view token) const {
        return handle_.call<Reencrypted>([&](const st_cipher *cipher, Reencrypted &out, st_error *error) {
            Bytes fresh;
            ::st_reencrypt(cipher, detail::data(token), token.size(), fresh.raw(), &out.changed, error);
            out.token.assign(fresh.view());
        });
    }
    /// Puts a new key into the key file, and the old one into the file of earlier ones.
    void rotate_key() const { try_rotate_key().value(); }
    Result<void> try_rotate_key() const noexcept { return handle_.call<void>(::st_rotate_key); }

    /// For calls of the C functions; NULL is the cipher of the process, or a closed one.
    [[nodiscard]] const st_cipher *raw() const noexcept { return handle_.raw(); }

private:
    using Handle = detail::Handle<st_cipher, ::st_cipher_free>;
    explicit Cipher(Handle handle) noexcept : handle_(std::move(handle)) {}
    Handle handle_{};
};

} // namespace st

#endif
