// The same in C++.
#include <st_secrets.hpp>

#include <cstdlib>
#include <iostream>

int main() {
    setenv("HF_TOKEN", "CANARY", 1);
    std::cout << st::Secrets::process().hf_token().size() << "\n";
}
