/* Encryption of credentials, in SimpleTuner's format. */
#ifndef ST_SECRETS_CIPHER_HPP
#define ST_SECRETS_CIPHER_HPP

#include "handle.hpp"

namespace st {

/// Encrypts and decrypts credentials. All const members may be called from any number of threads.
class Cipher {
public:
    /// The result of `reencrypt`: a token under the newest key.
    struct Reencrypted {
        std::string token;
        /// Whether the token differs from the argument.
        bool changed = false;
    };

    /// A closed handle; see `open` and `process`.
    Cipher() noexcept = default;

    /// Opens a cipher. Settings: `key`, `key_file`, `previous_keys`, `generate`.
    static Cipher open(const Config &config = Config()) { return try_open(config).value(); }
    static Result<Cipher> try_open(const Config &config = Config()) {
        auto handle = Handle::open(config, ::st_cipher_open);
        return handle ? Result<Cipher>(Cipher(std::move(*handle))) : Result<Cipher>(handle.error());
    }
    /// The cipher shared by the whole process, opened on first use. `close()` does not close it.
    static Cipher process() noexcept { return Cipher(Handle(nullptr)); }
    /// Replaces the process-wide cipher by one with these settings.
    static void reset(const Config &config) { try_reset(config).value(); }
    static Result<void> try_reset(const Config &config) { return detail::reset(config, ::st_cipher_reset); }
    /// Closes the process-wide cipher; its next use opens a new one.
    static void reset() { try_reset().value(); }
    static Result<void> try_reset() {
        return detail::result_of<void>([](st_error *error) { ::st_cipher_reset(nullptr, error); });
    }

    /// Frees the cipher and wipes its keys. May be called again.
    void close() noexcept { handle_.close(); }
    [[nodiscard]] bool is_open() const noexcept { return handle_.is_open(); }

    /// Encrypts up to 16 MiB under the newest key and returns the token.
    std::string encrypt(std::string_view plaintext) const { return try_encrypt(plaintext).value(); }
    Result<std::string> try_encrypt(std::string_view plaintext) const {
        return handle_.text([&](const st_cipher *cipher, st_bytes *token, st_error *error) {
            ::st_encrypt(cipher, detail::data(plaintext), plaintext.size(), token, error);
        });
    }
    /// Writes the token to `buffer`, without a NUL, and returns its length. If the buffer is too small, the call fails
    /// with `Status::buffer_too_small` and `Result::output` is the length needed; `(nullptr, 0)` queries it.
    std::size_t encrypt_into(std::string_view plaintext, char *buffer, std::size_t capacity) const {
        return try_encrypt_into(plaintext, buffer, capacity).value();
    }
    Result<std::size_t> try_encrypt_into(std::string_view plaintext, char *buffer,
                                         std::size_t capacity) const noexcept {
        return handle_.call<std::size_t>([&](const st_cipher *cipher, std::size_t &len, st_error *error) {
            ::st_encrypt_into(cipher, detail::data(plaintext), plaintext.size(), buffer, capacity, &len, error);
        });
    }

    /// Decrypts a token made under any of the keys.
    Bytes decrypt(std::string_view token) const { return try_decrypt(token).value(); }
    Result<Bytes> try_decrypt(std::string_view token) const noexcept {
        return handle_.call<Bytes>([&](const st_cipher *cipher, Bytes &plaintext, st_error *error) {
            ::st_decrypt(cipher, detail::data(token), token.size(), plaintext.raw(), error);
        });
    }
    /// As `encrypt_into`. A buffer as long as the token is always large enough. The caller wipes it.
    std::size_t decrypt_into(std::string_view token, char *buffer, std::size_t capacity) const {
        return try_decrypt_into(token, buffer, capacity).value();
    }
    Result<std::size_t> try_decrypt_into(std::string_view token, char *buffer, std::size_t capacity) const noexcept {
        return handle_.call<std::size_t>([&](const st_cipher *cipher, std::size_t &len, st_error *error) {
            ::st_decrypt_into(cipher, detail::data(token), token.size(), buffer, capacity, &len, error);
        });
    }

    /// Re-encrypts a token under the newest key.
    Reencrypted reencrypt(std::string_view token) const { return try_reencrypt(token).value(); }
    Result<Reencrypted> try_reencrypt(std::string_view token) const {
        return handle_.call<Reencrypted>([&](const st_cipher *cipher, Reencrypted &out, st_error *error) {
            Bytes fresh;
            ::st_reencrypt(cipher, detail::data(token), token.size(), fresh.raw(), &out.changed, error);
            out.token.assign(fresh.view());
        });
    }
    /// Writes a new key to the key file and moves the old one to the file of previous keys.
    void rotate_key() const { try_rotate_key().value(); }
    Result<void> try_rotate_key() const noexcept { return handle_.call<void>(::st_rotate_key); }

    /// The handle for calls of the C functions; NULL for the cipher of the process and for a closed one.
    [[nodiscard]] const st_cipher *raw() const noexcept { return handle_.raw(); }

private:
    using Handle = detail::Handle<st_cipher, ::st_cipher_free>;
    explicit Cipher(Handle handle) noexcept : handle_(std::move(handle)) {}
    Handle handle_{};
};

} // namespace st

#endif
