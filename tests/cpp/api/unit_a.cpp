// Two translation units with the same instantiations in one program; this one has `main`.
#include "check.hpp"

std::string name_of_the_other_unit(const st::Cache &cache);
const void *type_of_the_other_unit();

int main() {
    begin();
    st::Cache cache = st::Cache::open();
    cache.set_object("from a", std::string("CANARY a"));
    CHECK(name_of_the_other_unit(cache) == "CANARY a" && *cache.get_object<std::string>("from b") == "CANARY b");
    CHECK(type_of_the_other_unit() == &st::detail::type_tag<std::string>);
    THROWS(st::Secrets::process().get(""), st::Status::invalid_argument, "");
    return 0;
}
