"""Threads, forks, other processes, and exit."""

import gc
import json
import logging
import multiprocessing
import os
import sys
import threading
import time
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import st_secrets
from st_secrets import SecretsManager, TTLCache, VaultDynamicProvider
from support import Case


def use_everything(tag):
    """What a child does with its parent's handles (fork) or its own (spawn)."""
    cache = st_secrets.get_user_permission_cache()
    cache.set(f"user:{tag}:permissions", [tag])
    token = st_secrets.encrypt_credential(tag)
    store = st_secrets.get_store()
    store.save_provider_config(tag, {"tag": tag})
    return (
        SecretsManager().get("TOKEN"),
        cache.get(f"user:{tag}:permissions"),
        st_secrets.decrypt_credential(token),
        store.provider_config(tag),
    )


CACHE = TTLCache()


class Forks(Case):
    def use_in_children(self, method):
        os.environ["TOKEN"] = "value"
        self.assertEqual(use_everything("parent")[0], "value")
        context = multiprocessing.get_context(method)
        with context.Pool(3) as pool:
            results = pool.map_async(use_everything, [f"child{number}" for number in range(12)]).get(120)
        for number, result in enumerate(results):
            tag = f"child{number}"
            self.assertEqual(result, ("value", [tag], tag, {"tag": tag}))
        names = {entry["provider"] for entry in st_secrets.get_store().list_provider_configs()}
        self.assertEqual(names, {"parent", *(f"child{number}" for number in range(12))})
        self.assertTrue(st_secrets.get_store().verify_audit()["valid"])

    def test_multiprocessing_with_fork(self):
        self.use_in_children("fork")

    def test_multiprocessing_with_spawn(self):
        self.use_in_children("spawn")

    def fork(self, child):
        """Runs `child` in a fork, which exits with 0 if it returns True within a minute."""
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                code = 0 if child() else 2
            finally:
                os._exit(code)
        end = time.monotonic() + 60
        while time.monotonic() < end:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                return self.assertEqual(os.waitstatus_to_exitcode(status), 0)
            time.sleep(0.005)
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        self.fail("the child hangs")

    def test_fork_during_calls_of_other_threads(self):
        os.environ["TOKEN"] = "value"
        manager, cache = SecretsManager(), TTLCache(max_size=50)
        over = threading.Event()

        def work(number):
            while not over.is_set():
                manager.find("TOKEN")
                cache.set(f"{number}", object())
                cache.get_or_set(f"shared{time.monotonic_ns() % 7}", object, ttl=0.001)

        def child():
            cache.set("own", 1)
            return (
                manager.get("TOKEN") == "value" and cache.get_or_set("shared", lambda: 5) == 5 and cache.get("own") == 1
            )

        threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(60):
                self.fork(child)
        finally:
            over.set()
            for thread in threads:
                thread.join()

    def test_fork_while_another_thread_creates_the_manager_and_logs(self):
        os.environ["TOKEN"] = "value"
        self.write(".simpletuner/secrets.json", "{}", 0o644)
        st_secrets.set_log_level(logging.DEBUG)
        self.addCleanup(st_secrets.set_log_level, logging.WARNING)
        over = threading.Event()

        def work():
            while not over.is_set():
                SecretsManager.reset()
                SecretsManager().get("NOTHING")

        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(60):
                self.fork(lambda: SecretsManager().get("TOKEN") == "value")
        finally:
            over.set()
            for thread in threads:
                thread.join()

    def test_fork_does_not_inherit_loads(self):
        begun, over = threading.Event(), threading.Event()

        def slow():
            begun.set()
            over.wait()
            return "of the parent"

        thread = threading.Thread(target=CACHE.get_or_set, args=("key", slow))
        thread.start()
        begun.wait()
        self.fork(lambda: CACHE.get_or_set("key", lambda: "of the child") == "of the child")
        over.set()
        thread.join()
        self.assertEqual(CACHE.get("key"), "of the parent")

    def test_fork_within_a_load_continues_it(self):
        cache, parent = TTLCache(), os.getpid()

        def forks():
            pid = os.fork()
            return ("child" if pid == 0 else "parent", pid)

        process, pid = cache.get_or_set("key", forks)
        if os.getpid() != parent:
            os._exit(0 if process == "child" and cache.get_or_set("other", lambda: 1) == 1 else 1)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0)
        self.assertEqual(cache.get("key"), (process, pid))


class Ends(Case):
    def test_daemon_threads_at_exit(self):
        code = """
import os, sys, threading, time
import st_secrets
from st_secrets import SecretsManager, TTLCache
os.environ["T"] = "v"

class Slow:
    name = "slow"
    def get_secret(self, key):
        time.sleep(0.001)
        return key

manager = SecretsManager([Slow()], {"cache_ttl": 0.001})
cache = TTLCache(max_size=10)

class Thing:
    def __del__(self):
        cache.get("x")

def work(number):
    while True:
        manager.get(f"k{number}")
        cache.set(f"{number}", Thing())
        cache.get_or_set("shared", Thing, 0.0001)
        st_secrets.encrypt_credential("x")

for number in range(6):
    threading.Thread(target=work, args=(number,), daemon=True).start()
time.sleep(float(sys.argv[1]))
print("done")
"""
        for number in range(15):
            self.assertEqual(self.run_python(code, 0.02 + number * 0.003), "done")

    def test_cached_objects_at_exit(self):
        code = """
import atexit, st_secrets
from st_secrets import TTLCache
class Thing:
    def __del__(self):
        cache.set("gone", 1) if cache is not None else None
cache = TTLCache()
cache.set("a", Thing())
cache.set("b", [cache])
st_secrets.get_provider_config_cache().set("a", Thing())
atexit.register(lambda: cache.set("c", Thing()))
print("done")
"""
        self.assertEqual(self.run_python(code), "done")

    def test_subinterpreter_is_rejected(self):
        code = """
try:
    import _xxsubinterpreters as sub
except ImportError:
    import _interpreters as sub
import sys
source = "import sys\\ntry:\\n import st_secrets\\nexcept ImportError as e: print('refused', flush=True)"
other = sub.create()
try:
    failure = sub.run_string(other, source)
except Exception as error:
    print(error)
import st_secrets
st_secrets.TTLCache().set("a", 1)
print("main")
"""
        self.assertEqual(self.run_python(code).split(), ["refused", "main"])

    def test_package_can_be_imported_again(self):
        code = """
import sys
import st_secrets
old = st_secrets.TTLCache()
old.set("a", 1)
for name in [name for name in sys.modules if name.startswith("st_secrets")]:
    del sys.modules[name]
import st_secrets as new
try:
    new.SecretsManager().find("NOTHING")
except new.NotFoundError:
    print(new.TTLCache().get("a"), old.get("a"))
"""
        self.assertEqual(self.run_python(code), "None 1")

    def test_package_can_be_imported_without_the_sqlite_of_python(self):
        code = """
import sys
sys.modules["sqlite3"] = None
import st_secrets
print(st_secrets.ProviderConfigStore().get_sync("p"))
"""
        self.assertEqual(self.run_python(code), "{}")

    def test_import_prints_nothing_and_starts_no_thread(self):
        code = """
import os, st_secrets
st_secrets.SecretsManager().get("NOTHING")
st_secrets.decrypt_credential(st_secrets.encrypt_credential("x"))
print(len(os.listdir("/proc/self/task")))
"""
        self.assertEqual(self.run_python(code), "1")


class Signals(Case):
    def test_signal_exception_during_a_wait_reaches_the_caller(self):
        code = """
import os, signal, socket, sys, threading
import st_secrets
class Alarm(Exception):
    pass
def alarm(number, frame):
    raise Alarm
signal.signal(signal.SIGALRM, alarm)
signal.signal(signal.SIGINT, signal.default_int_handler)  # the parent process may ignore it
server = socket.create_server(("127.0.0.1", 0))
signals = []
def hang_up():
    while True:
        connection, _ = server.accept()
        if signals:  # while the library waits for an answer
            os.kill(os.getpid(), signals.pop())
        connection.close()
threading.Thread(target=hang_up, daemon=True).start()
class Mine:
    def get_secret(self, key):
        return None
address = f"http://127.0.0.1:{server.getsockname()[1]}"
config = {"providers": ["vault"], "vault_url": address, "vault_token": "t", "max_attempts": 1, "timeout": 60}
for number in (signal.SIGINT, signal.SIGALRM):
    for own in ([], [Mine()]):
        st_secrets.SecretsManager.reset()
        manager = st_secrets.SecretsManager(config=config)
        st_secrets.set_log_level(30 if not own else 60)
        for provider in own:
            manager.add_provider(provider)
        signals.append(number)
        try:
            manager.require("A")
        except (KeyboardInterrupt, Alarm) as interrupt:
            print(type(interrupt).__name__)
        except st_secrets.Error as error:
            print(error)
"""
        self.assertEqual(self.run_python(code).split(), ["KeyboardInterrupt"] * 2 + ["Alarm"] * 2)


class Threads(Case):
    def test_other_threads_run_while_a_call_waits(self):
        class Slow:
            name = "slow"

            def get_secret(self, key):
                begun.set()
                released.append(over.wait(60))
                return "late"

        begun, over, released, results = threading.Event(), threading.Event(), [], []
        manager = SecretsManager([Slow()], {"timeout": 120})
        threads = [threading.Thread(target=lambda: results.append(manager.get("A"))) for _ in range(2)]
        for thread in threads:  # one of them waits for the other
            thread.start()
        self.assertTrue(begun.wait(60))
        self.assertEqual(sum(range(10**5)), 4999950000)
        over.set()
        for thread in threads:
            thread.join()
        self.assertEqual((released, results), ([True], ["late"] * 2))

    def test_other_threads_run_while_a_manager_is_freed(self):
        """The responder is a thread of this process, so it cannot answer while the GIL is held."""

        class Vault(BaseHTTPRequestHandler):
            def do_POST(self):
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                lease = {"lease_id": "a/1", "lease_duration": 3600, "renewable": True, "data": {"username": "ada"}}
                body = b"{}" if "revoke" in self.path else json.dumps(lease).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_PUT = do_POST

            def log_message(self, *_):
                pass

        def used():
            leased = VaultDynamicProvider(
                "database/creds/app", {"username": "DB_USER"}, revoke=True, url=url, token="t"
            )
            manager = SecretsManager.open([leased])
            self.assertEqual(manager.get("DB_USER"), "ada")
            return manager

        class Owner:
            def get_secret(self, key):
                return None

        def collected():
            owner, manager = Owner(), used()
            owner.manager = manager
            manager.add_provider(owner)
            del owner, manager
            gc.collect()

        def with_an_exception_set():
            with self.assertRaises(IndexError):
                [used()][5]

        server = ThreadingHTTPServer(("127.0.0.1", 0), Vault)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        threading.Thread(target=server.serve_forever).start()
        url = f"http://127.0.0.1:{server.server_port}"
        st_secrets.set_log_level(logging.INFO)
        self.addCleanup(st_secrets.set_log_level, logging.WARNING)
        for free in (lambda: used().close(), lambda: used() and None, collected, with_an_exception_set):
            with self.assertLogs("st_secrets.vault", logging.INFO) as logs:
                free()
            self.assertRegex(logs.records[-1].getMessage(), "^revoked the lease", logs.output)

    def test_values_are_consistent_under_many_threads(self):
        old = sys.getswitchinterval()
        sys.setswitchinterval(1e-5)
        self.addCleanup(sys.setswitchinterval, old)
        cache, errors = TTLCache(max_size=20), []
        over = time.monotonic() + 2

        def work(seed):
            number = seed
            while time.monotonic() < over:
                number = (number * 1103515245 + 12345) % 2**31
                key = f"key{number % 40}"
                action = number // 64 % 8
                if action < 4:
                    value = cache.get(key)
                    if value is not None and value != [key, key]:
                        errors.append(value)
                elif action < 6:
                    cache.set(key, [key, key], ttl=(number % 3) * 0.01)
                elif action == 6:
                    if cache.get_or_set(key, lambda key=key: [key, key]) != [key, key]:
                        errors.append(key)
                else:
                    cache.invalidate_prefix(key[:4])

        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(errors, [])
        self.assertLessEqual(cache.stats()["size"], 20)


if __name__ == "__main__":
    unittest.main()
