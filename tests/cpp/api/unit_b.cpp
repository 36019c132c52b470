// The other translation unit.
#include <st_secrets.hpp>

std::string name_of_the_other_unit(const st::Cache &cache);
const void *type_of_the_other_unit();

std::string name_of_the_other_unit(const st::Cache &cache) {
    cache.set_object("from b", std::string("CANARY b"));
    return *cache.get_object<std::string>("from a");
}

const void *type_of_the_other_unit() { return &st::detail::type_tag<std::string>; }
