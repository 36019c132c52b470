// Redaction: values, streams, the redactor of the process.
#include "check.hpp"

#include <sstream>

static void values() {
    st::Redactor redactor = st::Redactor::open();
    CHECK(redactor.add("CANARY-1234") && !redactor.add("CANARY") && redactor.add("CANARY-5678", "NAME"));
    CHECK(redactor.redact("a CANARY-1234 b CANARY-5678") == "a *** b ***");
    CHECK(redactor.redact("").empty() && redactor.redact({}).empty());
    st::Config config = st::Config().redact_with("<{name}>");
    st::Redactor named = st::Redactor::open(config);
    CHECK(named.add("CANARY-1234", "NAME") && named.redact("CANARY-1234") == "<NAME>");
    config.redact_min(1);
    FAILS(st::Redactor::try_open(config), st::Status::config, "`redact_min`");
    THROWS(redactor.copy(-1, 1), st::Status::invalid_argument, "`from`");
    redactor.close();
    FAILS(redactor.try_redact("x"), st::Status::invalid_argument, "closed");
}

static void streams() {
    st::Redactor redactor = st::Redactor::open();
    redactor.add("CANARY-1234");
    std::ostringstream to;
    {
        st::RedactingStream out(to, redactor);
        out << "a CANARY" << std::flush;
        CHECK(to.str() == "a ");
        out << "-1234" << ' ' << 5 << std::endl;
        CHECK(to.str() == "a *** 5\n" && out.good());
        out << "CAN";
        out.finish();
        CHECK(to.str() == "a *** 5\nCAN");
        out.put('C').put('A');
    }
    CHECK(to.str() == "a *** 5\nCANCA");

    // A program's own stream.
    to.str("");
    std::ostream log(to.rdbuf());
    {
        st::RedactingBuffer buffer(to.rdbuf(), redactor);
        log.rdbuf(&buffer);
        log << "CANARY-1234\n";
        log.rdbuf(to.rdbuf());
    }
    CHECK(to.str() == "***\n");

    redactor.close();
    st::RedactingStream closed(to, redactor);
    closed << "CANARY-1234";
    CHECK(closed.bad() && to.str() == "***\n");
}

static void of_process() {
    setenv("REDACTED", "CANARY-process", 1);
    st::Redactor::start();
    THROWS(st::Redactor::start(st::Config().redact_with("x")), st::Status::config, "already open");
    st::Redactor process = st::Redactor::process();
    CHECK(process.redact("CANARY-process") == "CANARY-process");
    st::Bytes value = st::Secrets::process().get("REDACTED");
    CHECK(process.redact(value.view()) == "***");
    std::ostringstream to;
    st::RedactingStream out(to);
    out << value.view() << '\n';
    CHECK(to.str() == "***\n");
}

int main() {
    begin();
    values();
    streams();
    of_process();
}
