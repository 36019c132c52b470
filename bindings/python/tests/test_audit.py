"""The audit trail, with SimpleTuner's names and those of the store."""

import asyncio
import contextlib
import csv
import http.server
import io
import json
import os
import sqlite3
import threading
import unittest
from datetime import date, datetime, timedelta, timezone

from st_secrets import Error, InvalidArgumentError, Store, _native, get_store
from st_secrets.audit import AuditEventType, AuditStore, audit_log, get_audit_store, set_audit_webhook
from support import Case, until


class Audit(Case):
    def test_event_types(self):
        types = json.loads(_native.audit_event_types())
        self.assertEqual([(kind.name, kind.value) for kind in AuditEventType], [(t["name"], t["value"]) for t in types])
        self.assertEqual(len(AuditEventType), 27)

    def test_trail(self):
        os.environ["SIMPLETUNER_AUDIT_KEY"] = "signing"

        async def main():
            first = await audit_log(
                AuditEventType.CONFIG_CHANGED,
                "changed it",
                actor_id=3,
                actor_username="ada",
                target_type="config",
                target_id="replicate",
                details={"größe": 1.5},
            )
            second = await get_audit_store().log("job.submitted", "submitted it")
            self.assertEqual(second, first + 1)
            await get_audit_store().log("user.created", "made it")
            store = AuditStore()
            newest, middle, oldest = await store.query()
            self.assertEqual(
                (oldest.actor_username, oldest.details, oldest.previous_hash), ("ada", {"größe": 1.5}, "genesis")
            )
            self.assertEqual((middle.event_type, middle.actor_id, middle.details), ("job.submitted", None, {}))
            both = await store.query(["user.created", AuditEventType.CONFIG_CHANGED])
            self.assertEqual([entry.id for entry in both], [newest.id, oldest.id])
            self.assertEqual(
                [entry.id for entry in await store.query(["job.submitted", "user.created"], limit=1, offset=1)],
                [middle.id],
            )
            self.assertEqual([entry.id for entry in await store.query(actor_id=3)], [oldest.id])
            report = await store.verify_chain()
            self.assertEqual((report["valid"], report["entries_checked"]), (True, 3))
            with contextlib.closing(
                sqlite3.connect(self.home / "state" / "audit.db", isolation_level=None)
            ) as database:
                database.execute("UPDATE audit_log SET action = 'forged' WHERE id = ?", (middle.id,))
            report = await store.verify_chain(start_id=middle.id)
            self.assertEqual((report["valid"], report["broken_id"], report["kind"]), (False, middle.id, "altered"))
            self.assertEqual([link["id"] for link in report["broken_links"]], [middle.id])
            self.assertEqual((report["first_id"], report["last_id"]), (middle.id, newest.id))

        asyncio.run(main())

    def test_changes_are_recorded_under_the_actor(self):
        store = get_store().as_actor(7, "ada", "::1")
        store.save_provider_config("replicate", {"webhook_secret": "CANARY"})
        store.as_actor().delete_provider_config("replicate")
        last, first = store.query_audit()
        self.assertEqual((first["actor_id"], first["actor_username"], first["actor_ip"]), (7, "ada", "::1"))
        self.assertEqual((last["actor_id"], last["event_type"]), (None, "config.changed"))
        self.assertNotIn("CANARY", repr((first, last)))
        with self.assertRaisesRegex(ValueError, "event_type"):
            store.query_audit(event_typ="x")

    def test_statistics(self):
        async def main():
            store = get_audit_store()
            empty = await store.get_stats()
            self.assertEqual((empty["total_entries"], empty["by_type"], empty["first_entry"]), (0, {}, None))
            for kind in ("user.created", "user.created", "job.submitted"):
                await audit_log(kind, "did it")
            stats = await store.get_stats()
            self.assertEqual(list(stats), ["total_entries", "by_type", "last_24h", "first_entry", "last_entry"])
            self.assertEqual((stats["total_entries"], stats["last_24h"]), (3, 3))
            self.assertEqual(stats["by_type"], {"user.created": 2, "job.submitted": 1})
            entries = await store.query()
            self.assertEqual((stats["first_entry"], stats["last_entry"]), (entries[-1].timestamp, entries[0].timestamp))

        asyncio.run(main())

    def test_dates_and_times_as_filters(self):
        async def main():
            await audit_log("user.created", "made it")
            store, now = get_audit_store(), datetime.now(timezone.utc)
            yesterday, tomorrow = now - timedelta(days=1), now + timedelta(days=1)
            forms = (
                lambda time: time,
                lambda time: time.isoformat(),
                lambda time: time.date(),
                lambda time: time.date().isoformat(),
                lambda time: time.replace(tzinfo=None),
                lambda time: time.strftime("%Y-%m-%dT%H:%M:%S"),
                lambda time: time.astimezone(timezone(timedelta(hours=5))),
            )
            for number, form in enumerate(forms):
                with self.subTest(number):
                    found = await store.query(since=form(yesterday), until=form(tomorrow))
                    self.assertEqual(len(found), 1)
                    self.assertEqual(await store.query(since=form(tomorrow)), [])
                    self.assertEqual(await store.query(until=form(yesterday)), [])
            self.assertEqual(
                len(await store.query(since="", until="", target_type="", target_id="", event_types=[])), 1
            )
            self.assertEqual(await store.query(since=date(2200, 1, 1)), [])

        asyncio.run(main())

    def test_filter_that_is_not_a_time_is_compared_as_text(self):
        async def main():
            await audit_log("user.created", "made it")
            await audit_log("user.deleted", "removed it")
            store = get_audit_store()
            last, first = (entry.timestamp for entry in await store.query())
            texts = ["x", "yesterday", "22.11.2026", "-5", "2", "2026", "2026-13-45", " ", "\0", "9999", "0", last[:23]]
            for since in (*texts, "", None, "2000-01-01"):
                for before in (*texts, "", None):
                    with self.subTest(since=since, until=before):
                        found = [entry.timestamp for entry in await store.query(since=since, until=before)]
                        expected = [
                            time
                            for time in (last, first)
                            if (not since or time >= since) and (not before or time <= before)
                        ]
                        self.assertEqual(found, expected)
            found = await store.query(["user.created"], since="2", until="x", limit=1)
            self.assertEqual([entry.event_type for entry in found], ["user.created"])
            with self.assertRaises(InvalidArgumentError):
                get_store().query_audit(since="x")
            with self.assertRaises(InvalidArgumentError):
                await store.query(since="x", limit=-1)

        asyncio.run(main())

    def test_range_of_a_verification_is_as_in_simpletuner(self):
        async def main():
            for number in range(3):
                await audit_log("user.created", str(number))
            store = get_audit_store()
            for start, end, checked in (
                (None, None, 3),
                (0, None, 3),
                (-5, None, 3),
                (2, None, 2),
                (None, 2, 2),
                (None, 0, 0),
                (1, 0, 0),
                (None, -1, 0),
                (3, 1, 0),
                (9, None, 0),
                (2, 99, 2),
            ):
                report = await store.verify_chain(start, end)
                self.assertEqual((report["valid"], report["entries_checked"]), (True, checked), (start, end))
                self.assertEqual((report["broken_links"], report["first_id"] is None), ([], checked == 0))
            self.assertEqual(set(await store.verify_chain(end_id=0)), set(await store.verify_chain()))

        asyncio.run(main())

    def test_one_object_for_each_path(self):
        self.assertIs(AuditStore(), get_audit_store())
        self.assertEqual(AuditStore().get_database_path(), self.home / "state" / "audit.db")
        before = AuditStore()
        os.environ["SIMPLETUNER_STATE_DIR"] = str(self.home / "another")
        AuditStore.reset()
        self.assertIsNot(AuditStore(), before)
        asyncio.run(audit_log("user.created", "made it"))
        self.assertTrue((self.home / "another" / "audit.db").exists())

    def test_trail_of_a_database_in_the_state_directory(self):
        with Store({"database": self.home / "state" / "cloud" / "jobs.db"}) as store:
            store.save_provider_config("replicate", {"a": 1})
        (entry,) = asyncio.run(get_audit_store().query())
        self.assertEqual(entry.event_type, "provider.configured")
        self.assertFalse((self.home / "state" / "cloud" / "audit.db").exists())

    def test_text_that_the_trail_does_not_take_is_cut(self):
        async def main():
            await audit_log(
                AuditEventType.AUTH_LOGIN_FAILED,
                "ö" * 300,
                actor_username="a\nb",
                actor_ip="x" * 100,
                target_id="t" * 2000,
            )
            await audit_log("user.created", "made it", target_type="user")
            _, entry = await get_audit_store().query()
            self.assertEqual((entry.action, entry.actor_username), ("ö" * 127, "a\ufffdb"))
            self.assertEqual((len(entry.actor_ip), len(entry.target_id)), (64, 765))

        asyncio.run(main())

    def test_export(self):
        store = get_store()
        for number in range(3):
            store.audit("user.created", f"made {number}", details={"n": number})
        text, last = store.export_audit(limit=2)
        self.assertEqual([json.loads(line)["action"] for line in text.splitlines()], ["made 0", "made 1"])
        text, last = store.export_audit("csv", after_id=last)
        self.assertEqual(last, 3)
        self.assertIn("made 2", text)
        text, _ = store.export_audit("csv")
        rows = list(csv.DictReader(io.StringIO(text)))
        self.assertEqual([row["action"] for row in rows], ["made 0", "made 1", "made 2"])
        with self.assertRaises(ValueError):
            store.export_audit("xml")

    def test_retention(self):
        store = get_store()
        self.assertEqual(store.retain_audit(30)["removed"], 0)
        store.audit("user.created", "made it")
        self.assertEqual(store.retain_audit(1)["removed"], 0)
        self.assertTrue(store.verify_audit()["valid"])
        with self.assertRaises(ValueError):
            store.retain_audit(-1)


class Receiver(http.server.BaseHTTPRequestHandler):
    """Keeps what is posted to it."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append((self.headers.get("Authorization"), json.loads(body)))
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


class Webhooks(Case):
    def setUp(self):
        super().setUp()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
        self.server.received, self.server.status = [], 200
        thread = threading.Thread(target=self.server.serve_forever)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        self.url = f"http://127.0.0.1:{self.server.server_port}/audit"

    def test_entries_are_sent_after_they_are_logged(self):
        set_audit_webhook({"url": self.url, "token": "CANARY"})
        asyncio.run(audit_log("user.created", "made it", actor_id=7, details={"a": 1}))
        until(lambda: self.server.received)
        ((token, sent),) = self.server.received
        self.assertEqual(token, "ApiKey CANARY")
        self.assertEqual(sent["event"]["action"], "made it")
        self.assertEqual((sent["simpletuner"]["actor_id"], sent["simpletuner"]["details"]), (7, {"a": 1}))
        set_audit_webhook(lambda: None)
        asyncio.run(audit_log("user.created", "not sent"))
        set_audit_webhook(lambda: {"url": self.url, "security_only": True})
        asyncio.run(audit_log("user.created", "not sent either"))
        asyncio.run(audit_log(AuditEventType.PERMISSION_DENIED, "denied"))
        until(lambda: len(self.server.received) > 1)
        self.assertEqual([sent["event"]["action"] for _, sent in self.server.received], ["made it", "denied"])

    def test_failure_is_logged(self):
        self.server.status = 403
        set_audit_webhook({"url": self.url, "token": "CANARY"})
        with self.assertLogs("st_secrets.audit", "WARNING") as logs:
            entry = asyncio.run(audit_log("user.created", "made it"))
            until(lambda: logs.output)
        self.assertIn(f"entry {entry} ", logs.output[0])
        self.assertNotIn("CANARY", str(logs.output))

    def test_send(self):
        store = get_store()
        for number in range(3):
            store.audit("user.created", f"made {number}")
        self.assertEqual(store.send_audit(self.url, limit=2), 2)
        self.assertEqual(store.send_audit(self.url, after_id=2, timeout=timedelta(seconds=30)), 3)
        self.assertEqual([sent["event"]["action"] for _, sent in self.server.received], ["made 0", "made 1", "made 2"])
        self.server.status = 403
        with self.assertRaises(Error) as raised:
            store.send_audit(self.url, "CANARY", retries=0)
        self.assertEqual(raised.exception.last_id, 0)
        self.assertNotIn("CANARY", str(raised.exception))


if __name__ == "__main__":
    unittest.main()
