// A Redis server that listens on a socket in memory, and ends with this object.
#pragma once

#include "check.hpp"

#include <cstdlib>
#include <filesystem>
#include <string>

#include <unistd.h>

class Redis {
public:
    Redis() {
        CHECK(mkdtemp(directory_.data()) != nullptr);
        const std::string options = " --port 0 --save '' --daemonize yes --dir " + directory_ + " --unixsocket ";
        CHECK(std::system(("redis-server" + options + socket() + " >/dev/null").c_str()) == 0);
        CHECK_SOON(access(socket().c_str(), F_OK) == 0);
    }
    Redis(const Redis &) = delete;
    Redis &operator=(const Redis &) = delete;
    ~Redis() {
        stop();
        std::filesystem::remove_all(directory_);
    }
    void stop() {
        if (access(socket().c_str(), F_OK) == 0) {
            CHECK(std::system(("redis-cli -s " + socket() + " shutdown nosave").c_str()) == 0);
        }
    }
    const std::string &directory() const { return directory_; }
    std::string url() const { return "unix://" + socket(); }
    // For `share_key`.
    static constexpr const char *key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

private:
    std::string socket() const { return directory_ + "/redis.sock"; }
    // In memory, where a share may be.
    std::string directory_ = "/dev/shm/st-secrets-test-XXXXXX";
};
