// Encryption of credentials.
#include "check.hpp"

static void encrypt_and_decrypt() {
    st::Cipher cipher = st::Cipher::open(st::Config().key("CANARY key"));
    std::string token = cipher.encrypt("CANARY");
    CHECK(token.find("CANARY") == std::string::npos && token.size() == 136);
    CHECK(cipher.decrypt(token).view() == "CANARY");
    CHECK(cipher.decrypt(cipher.encrypt("")).empty());
    std::string_view with_nul("CANARY\0x", 8);
    CHECK(cipher.decrypt(cipher.encrypt(with_nul)).view() == with_nul);
    THROWS(cipher.decrypt("no token"), st::Status::bad_token, "");
    FAILS(cipher.try_decrypt({}), st::Status::bad_token, "");

    char buffer[200];
    std::size_t len = cipher.encrypt_into("CANARY", buffer, sizeof buffer);
    CHECK(len == 136 && cipher.try_encrypt_into("CANARY", nullptr, 0).output() == 136);
    char plain[200];
    CHECK(cipher.decrypt_into({buffer, len}, plain, sizeof plain) == 6 && std::memcmp(plain, "CANARY", 6) == 0);
    auto small = cipher.try_decrypt_into({buffer, len}, plain, 2);
    FAILS(small, st::Status::buffer_too_small, "");
    CHECK(small.output() == 6);
    THROWS(cipher.rotate_key(), st::Status::read_only, "");
}

static void a_key_in_a_file() {
    std::string file = path_of("credential.key");
    THROWS(st::Cipher::open(st::Config().key_file(file).generate(false)), st::Status::bad_key, "credential.key");
    st::Cipher cipher = st::Cipher::open(st::Config().key_file(file));
    std::string token = cipher.encrypt("CANARY");
    CHECK(!cipher.reencrypt(token).changed && cipher.reencrypt(token).token == token);
    cipher.rotate_key();
    auto fresh = cipher.reencrypt(token);
    CHECK(fresh.changed && fresh.token != token && cipher.decrypt(fresh.token).view() == "CANARY");
    CHECK(cipher.decrypt(token).view() == "CANARY");
    FAILS(cipher.try_reencrypt("no token"), st::Status::bad_token, "");
}

static void process_cipher() {
    st::Cipher::reset(st::Config().key("CANARY process"));
    std::string token = st::Cipher::process().encrypt("CANARY");
    CHECK(st::Cipher::open(st::Config().key("CANARY process")).decrypt(token).view() == "CANARY");
    FAILS(st::Cipher::try_reset(st::Config().key("a").key_file("b")), st::Status::config, "key_file");
    st::Cipher::process().close();
    CHECK(st::Cipher::process().decrypt(token).view() == "CANARY");
    st::Cipher::reset();
    FAILS(st::Cipher::process().try_decrypt(token), st::Status::bad_token, "");
}

int main() {
    begin();
    encrypt_and_decrypt();
    a_key_in_a_file();
    process_cipher();
    return 0;
}
