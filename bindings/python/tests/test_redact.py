"""Redaction: values, log records, streams, the redactor of the process."""

import contextlib
import io
import logging
import os
import sys
import threading
import unittest
from collections import OrderedDict

from st_secrets import ConfigError, RedactingFilter, RedactingStream, Redactor, redacted_output
from support import Case, until

VALUE = "CANARY-\u00e41234"


def redactor(**config):
    new = Redactor(config)
    new.add(VALUE, "NAME")
    return new


class Values(Case):
    def test_redact_replaces_values_and_their_forms(self):
        with_names = redactor(redact_with="<{name}>")
        self.assertEqual(with_names.redact(f"a {VALUE} b {ascii(VALUE)}"), "a <NAME> b '<NAME>'")
        self.assertEqual(redactor().redact_bytes(VALUE.encode().hex().encode()), b"***")
        lone = "lone \ud800 surrogate"
        self.assertIs(with_names.redact(lone), lone)
        self.assertEqual(with_names.redact(f"{lone} {VALUE}"), f"{lone} <NAME>")

    def test_add_ignores_short_values(self):
        short = Redactor({"redact_min": 4})
        self.assertEqual((short.add("123"), short.add(b"1234")), (False, True))
        self.assertEqual(short.redact("123 1234"), "123 ***")
        with self.assertRaisesRegex(ConfigError, "redact_min"):
            Redactor({"redact_min": 1})
        short.close()
        with self.assertRaisesRegex(ValueError, "closed"):
            short.redact("x")


class Log(Case):
    def setUp(self):
        super().setUp()
        self.out = io.StringIO()
        handler = logging.StreamHandler(self.out)
        handler.addFilter(RedactingFilter(redactor()))
        handler.setFormatter(logging.Formatter("%(message)s %(extra)s", defaults={"extra": ""}))
        self.log = logging.getLogger("test_redact")
        self.log.propagate = False
        self.log.setLevel(logging.DEBUG)
        self.log.addHandler(handler)
        self.addCleanup(self.log.removeHandler, handler)

    def printed(self):
        text = self.out.getvalue()
        self.out.seek(0)
        self.out.truncate()
        return text

    def test_message_and_arguments_are_redacted(self):
        self.log.info("token %s", VALUE)
        self.log.info("token %(token)r", {"token": VALUE})
        self.log.info(f"token {VALUE}", extra={"extra": {"token": [VALUE]}})
        self.log.info("CANARY-%s1234", "\u00e4")
        self.log.info("%d of %d", 1, 2)
        expected = "token *** \ntoken '***' \ntoken *** {'token': ['***']}\n*** \n1 of 2 \n"
        self.assertEqual(self.printed(), expected)

    def test_tracebacks_and_stacks_are_redacted(self):
        try:
            raise ValueError(f"cannot use {VALUE}")
        except ValueError:
            self.log.exception("failed")
        text = self.printed()
        self.assertIn("ValueError: cannot use ***", text)
        self.assertNotIn(VALUE, text)
        self.log.info("x", stack_info=True)
        self.assertIn("Stack (most recent call last)", self.printed())

    def test_exception_without_a_value_is_left_to_the_handler(self):
        records = []
        self.log.handlers[0].addFilter(lambda record: records.append(record) or True)
        try:
            raise ValueError("nothing to see")
        except ValueError:
            self.log.exception("failed")
        self.assertIs(records[0].exc_info[0], ValueError)

    def test_exception_that_an_earlier_handler_formatted_is_redacted(self):
        records = []
        first = logging.StreamHandler(io.StringIO())
        self.log.handlers.insert(0, first)
        self.addCleanup(self.log.removeHandler, first)
        self.log.handlers[1].addFilter(lambda record: records.append(record) or True)
        try:
            raise ValueError(f"cannot use {VALUE}")
        except ValueError:
            self.log.exception("failed")
        self.assertIsNone(records[0].exc_info)
        self.assertIn("ValueError: cannot use ***", records[0].exc_text)
        self.assertIn("ValueError: cannot use ***", self.printed())

    def test_objects_that_print_a_value_become_text(self):
        class Printed:
            def __str__(self):
                return f"token {VALUE}"

        class Represented:
            def __str__(self):
                return "harmless"

            def __repr__(self):
                return f"<{VALUE}>"

        cases = [
            (ValueError(VALUE), "***"),
            (Printed(), "token ***"),
            (Represented(), "<***>"),
            (OrderedDict(token=VALUE), str(OrderedDict(token="***"))),
            ({VALUE}, "{'***'}"),
            (bytearray(VALUE.encode()), "bytearray(b'***')"),
            ([ValueError(VALUE)], "['***']"),
        ]
        for extra, expected in cases:
            with self.subTest(type(extra).__name__):
                self.log.info("x", extra={"extra": extra})
                self.assertEqual(self.printed(), f"x {expected}\n")

    def test_other_objects_are_left_to_the_handler(self):
        class Broken:
            def __str__(self):
                raise ValueError(VALUE)

            __repr__ = __str__

        records = []
        self.log.handlers[0].addFilter(lambda record: records.append(record))
        for extra in [None, True, 5, 1.5, 2j, object(), {1}, Broken()]:
            self.log.info("x", extra={"extra": extra})
            self.assertIs(records.pop().extra, extra)

    def test_arguments_that_do_not_fit_are_reported_by_the_handler(self):
        with contextlib.redirect_stderr(io.StringIO()) as errors:
            self.log.info("%d", VALUE)
        text = errors.getvalue()
        self.assertIn("--- Logging error ---", text)
        self.assertNotIn(VALUE, text)


class Streams(Case):
    def test_stream_redacts_over_writes_and_keeps_its_properties(self):
        raw = io.BytesIO()
        below = io.TextIOWrapper(raw, encoding="latin-1", line_buffering=True)
        stream = RedactingStream(below, redactor())
        self.assertEqual((stream.encoding, stream.line_buffering, stream.isatty()), ("latin-1", True, False))
        for character in f"a {VALUE} b \u00e9\n":
            self.assertEqual(stream.write(character), 1)
        self.assertEqual(raw.getvalue(), b"a *** b \xe9\n")
        print("CAN", end="", file=stream, flush=True)
        self.assertEqual(raw.getvalue(), b"a *** b \xe9\n")
        stream.release()
        self.assertEqual(raw.getvalue(), b"a *** b \xe9\nCAN")
        stream.buffer.write(VALUE.encode() + b"\n")
        stream.buffer.flush()
        self.assertEqual(raw.getvalue(), b"a *** b \xe9\nCAN***\n")
        with self.assertRaises(TypeError):
            stream.write(b"bytes")

    def test_text_that_may_begin_a_value_is_passed_on_after_a_pause(self):
        below = io.StringIO()
        stream = RedactingStream(below, redactor())
        stream.write("prompt C")
        until(lambda: below.getvalue() == "prompt C")
        stream.write("CANAR")
        until(lambda: below.getvalue() == "prompt CCANAR")

    def test_streams_can_be_shared_by_threads(self):
        below = io.StringIO()
        stream = RedactingStream(below, redactor())

        def write():
            for _ in range(200):
                stream.write(f"a {VALUE} b\n")

        threads = [threading.Thread(target=write) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        stream.release()
        self.assertEqual(below.getvalue(), "a *** b\n" * 800)

    def test_redacted_output_replaces_and_restores(self):
        before = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = io.StringIO(), io.StringIO()
        try:
            with redacted_output(redactor()):
                print(f"out {VALUE}")
                print(f"error {VALUE}", file=sys.stderr)
                print("CAN", end="")
            texts = sys.stdout.getvalue(), sys.stderr.getvalue()
        finally:
            sys.stdout, sys.stderr = before
        self.assertEqual(texts, ("out ***\nCAN", "error ***\n"))


class Process(Case):
    def test_returned_values_are_redacted(self):
        os.environ["TOKEN"] = VALUE
        printed = self.run_python(
            """
import sys, st_secrets, logging
st_secrets.start_redaction({"redact_with": "<{name}>"})
try:
    st_secrets.start_redaction()
except st_secrets.ConfigError as error:
    print(type(error).__name__)
with st_secrets.redacted_output():
    print(st_secrets.get_secrets_manager().get("TOKEN"))
    print("token", st_secrets.decrypt_credential(st_secrets.encrypt_credential("another-CANARY")))
    sys.stdout.write("TOK")
sys.stdout = st_secrets.RedactingStream(sys.stdout)
print("the end, C", end="")
"""
        )
        self.assertEqual(printed, "ConfigError\n<TOKEN>\ntoken <secret>\nTOKthe end, C")

    def test_text_that_is_held_back_at_exit_is_passed_on(self):
        printed = self.run_python(
            """
import atexit, sys, st_secrets
redactor = st_secrets.Redactor()
redactor.add("CANARY-1234")
sys.stdout = st_secrets.RedactingStream(sys.stdout, redactor)
closed = st_secrets.RedactingStream(open("/dev/null", "w"), redactor)
def end():
    closed.write("C")
    closed._stream.close()
    print("CANARY-1234, the end, C", end="")
atexit.register(end)
"""
        )
        self.assertEqual(printed, "***, the end, C")

    def test_text_is_passed_on_where_no_thread_can_start(self):
        # From Python 3.12 on, threads raise this while the interpreter ends.
        printed = self.run_python(
            """
import atexit, sys, threading, st_secrets
redactor = st_secrets.Redactor()
redactor.add("CANARY-1234")
sys.stdout = st_secrets.RedactingStream(sys.stdout, redactor)
def refuse(thread):
    raise RuntimeError("can't create new thread at interpreter shutdown")
def end():
    threading.Thread.start = refuse
    print("the end, C", end="")
    print("ANARY-1234, C", end="")
atexit.register(end)
"""
        )
        self.assertEqual(printed, "the end, ***, C")

    def test_child_redacts_what_its_parent_did(self):
        below = io.StringIO()
        stream = RedactingStream(below, redactor())
        stream.write("CAN")
        child = os.fork()
        if child == 0:
            stream.write(f"X {VALUE}\n")
            os._exit(0 if below.getvalue() == "CANX ***\n" else 1)
        self.assertEqual(os.waitpid(child, 0)[1], 0)


if __name__ == "__main__":
    unittest.main()
