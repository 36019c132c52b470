"""Two copies of SQLite in one process: this library's, through ctypes, and Python's own, on the same files.

usage: two_sqlites.py LIBRARY DIRECTORY
"""

import ctypes
import json
import os
import sqlite3
import subprocess
import sys
import threading
import time

library = ctypes.CDLL(sys.argv[1])
directory = sys.argv[2]
DATABASE = os.path.join(directory, "cloud", "jobs.db")
NUL = ctypes.c_size_t(-1)


class Bytes(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("len", ctypes.c_size_t), ("owner", ctypes.c_void_p)]


class Error(ctypes.Structure):
    _fields_ = [
        ("size", ctypes.c_uint32),
        ("status", ctypes.c_int32),
        ("source", ctypes.c_int32),
        ("detail", ctypes.c_int32),
        ("flags", ctypes.c_uint32),
        ("message", ctypes.c_char * 512),
    ]


def call(name, *arguments):
    error = Error(size=ctypes.sizeof(Error))
    status = getattr(library, name)(*arguments, ctypes.byref(error))
    if status != 0:
        raise RuntimeError(f"{name}: {status} {error.message.decode()}")


def text(value):
    return ctypes.c_char_p(value.encode()), NUL


library.st_config_new.restype = ctypes.c_void_p
config = ctypes.c_void_p(library.st_config_new())
call("st_config_set", config, *text("state_dir"), *text(directory))
# Writers wait for each other, for as long as a busy machine takes.
call("st_config_set", config, *text("timeout"), *text("600"))
store = ctypes.c_void_p()
call("st_store_open", config, ctypes.byref(store))


def get():
    out = Bytes()
    call("st_provider_config_get", store, *text("replicate"), ctypes.byref(out))
    value = json.loads(ctypes.string_at(out.data, out.len))
    library.st_bytes_free(ctypes.byref(out))
    return value


def update(name):
    call("st_provider_config_update", store, *text("replicate"), *text(json.dumps({name: 1})))


def stored():
    connection = sqlite3.connect(DATABASE, timeout=600)
    value = json.loads(connection.execute("SELECT config FROM provider_config").fetchone()[0])
    connection.close()
    return value


def try_to_write():
    """Returns whether another process can get the write lock now."""
    code = "import sqlite3, sys\nc = sqlite3.connect(sys.argv[1], timeout=0)\nc.execute('BEGIN IMMEDIATE')"
    return subprocess.run([sys.executable, "-c", code, DATABASE], stderr=subprocess.DEVNULL).returncode == 0


def transaction_open():
    """Python opens, reads and closes the file during a transaction of this library, which keeps its lock."""
    key = ctypes.c_void_p()
    call("st_config_set", config, *text("key"), *text("a secret"))
    call("st_cipher_open", config, ctypes.byref(key))
    call("st_credential_set", store, key, ctypes.c_int64(1), *text("replicate"), *text("token"), *text("value"), None)
    progress_type = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint64)
    seen = []

    def progress(_context, done, _total):
        stored()
        with open(DATABASE, "rb"):
            pass
        with open(DATABASE + "-shm", "rb"):
            pass
        seen.append(try_to_write())
        return True

    callback = progress_type(progress)
    call("st_credentials_reencrypt", store, key, ctypes.c_uint32(0), callback, None, None)
    assert seen and not any(seen), f"our lock was lost: {seen}"
    assert try_to_write(), "our lock stayed"


def lock_of_python_stays():
    """This library opens and closes the file without releasing Python's lock."""
    connection = sqlite3.connect(DATABASE, timeout=600, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("BEGIN IMMEDIATE")
    other = ctypes.c_void_p()
    own = ctypes.c_void_p(library.st_config_new())
    call("st_config_set", own, *text("database"), *text(DATABASE))
    call("st_store_open", own, ctypes.byref(other))
    for name, arguments in (("st_provider_config_list", ()), ("st_provider_config_get", text("replicate"))):
        out = Bytes()
        call(name, other, *arguments, ctypes.byref(out))
        library.st_bytes_free(ctypes.byref(out))
    library.st_store_free(other)
    get()
    assert not try_to_write(), "Python's lock was lost"
    connection.execute("COMMIT")
    connection.close()


def side_by_side():
    """Threads of both write concurrently, opening and closing connections: no write is lost."""
    failures = []

    def ours(number):
        try:
            for n in range(100):
                update(f"ours{number}-{n}")
                get()
        except Exception as error:
            failures.append(error)

    def pythons(number):
        try:
            for n in range(100):
                connection = sqlite3.connect(DATABASE, timeout=600, isolation_level=None)
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute("BEGIN IMMEDIATE")
                value = json.loads(connection.execute("SELECT config FROM provider_config").fetchone()[0])
                value[f"python{number}-{n}"] = 1
                connection.execute("UPDATE provider_config SET config = ?", (json.dumps(value),))
                connection.execute("COMMIT")
                connection.close()
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=target, args=(n,)) for n in range(3) for target in (ours, pythons)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures
    kept = stored()
    expected = {f"{writer}{number}-{n}" for writer in ("ours", "python") for number in range(3) for n in range(100)}
    assert expected <= kept.keys(), f"lost: {sorted(expected - kept.keys())[:10]}"
    time.sleep(1)
    assert get() == kept
    connection = sqlite3.connect(DATABASE)
    assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    connection.close()


call("st_provider_config_save", store, *text("replicate"), *text("{}"))
transaction_open()
lock_of_python_stays()
side_by_side()
