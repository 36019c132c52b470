// A service for users of a training stack: reads secrets, caches results and stores encrypted credentials.
//
//   c++ -std=c++17 service.cpp $(pkg-config --cflags --libs st_secrets) -o service
//   HF_TOKEN=hf_… ./service
#include <st_secrets.hpp>

#include <iostream>

using namespace std::chrono_literals;

struct User {
    int id;
    std::string name;
};

// A custom provider, after environment and file: a table here; usually a key chain or a metadata service.
std::optional<std::string> from_the_program(std::string_view key) {
    if (key == "WEBHOOK_PATH") {
        return "/hooks/replicate";
    }
    return std::nullopt;
}

void show_secrets(const st::Secrets &secrets) {
    // `token` is wiped when it is destroyed; `std::cout << token` does not compile.
    st::Bytes token = secrets.get("HF_TOKEN");
    std::cout << "HF_TOKEN has " << token.size() << " bytes\n";

    st::Secret path = secrets.get_with("WEBHOOK_PATH", {2s});
    std::cout << "WEBHOOK_PATH is " << path.value.view() << ", from provider " << path.provider << "\n";

    if (!secrets.find("REPLICATE_API_TOKEN")) {
        std::cout << "REPLICATE_API_TOKEN is nowhere\n";
    }
    // Without exceptions:
    auto webhook = secrets.try_get("CLOUD_WEBHOOK_SECRET");
    if (!webhook) {
        std::cout << st::name(webhook.status()) << (webhook.error().retryable() ? ", try again" : ", provide it")
                  << "\n";
    }
}

void show_cache() {
    int queries = 0;
    auto get_user = st::cached(
        [&](int id) {
            queries++; // an expensive query
            return User{id, "user " + std::to_string(id)};
        },
        {"get_user", "service", 120s});
    for (int i = 0; i < 1000; i++) {
        get_user(123);
    }
    std::cout << get_user(123).name << " was looked up " << queries << " time, under " << get_user.key(123) << "\n";
}

void show_credentials() {
    st::Cipher cipher = st::Cipher::process();
    std::string token = cipher.encrypt("r8_of_a_user");
    std::cout << "a token of " << token.size() << " characters holds " << cipher.decrypt(token).size() << " bytes\n";
}

int main() {
    try {
        st::Secrets secrets = st::Secrets::open(st::Config().providers({"env", "file"}).timeout(5s));
        secrets.add_provider("program", from_the_program);
        show_secrets(secrets);
        show_cache();
        show_credentials();
    } catch (const st::Error &error) {
        std::cerr << "service: " << error.what() << " (" << st::name(error.status()) << ")\n";
        return 1;
    }
    return 0;
}
