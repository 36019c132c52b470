"""One object for each class and database, as SimpleTuner's stores are."""

from __future__ import annotations

import os
import threading
import weakref
from pathlib import Path
from typing import Any, ClassVar

from .errors import Error
from .store import Store, get_store, reset_store

_lock = threading.RLock()


def _after_fork() -> None:
    global _lock
    _lock = threading.RLock()


os.register_at_fork(after_in_child=_after_fork)


class PerPath:
    """A store with one object for each database.

    The first `db_path` that a program gives is also that of later calls without one, until `reset_instance`. If none
    was given, these return the object of the state directory, which uses the store of the process.
    """

    _setting: ClassVar[str]
    """The name of the `Store` setting that takes the path."""
    _described: ClassVar[str]
    """The name of the `Store.describe` member that has the path."""
    _by_path: ClassVar[weakref.WeakValueDictionary[Path, Any]]
    _given: ClassVar[Any] = None
    """The object of the first path that was given."""
    _of_process: ClassVar[Any] = None

    _store: Store

    def __init_subclass__(cls) -> None:
        cls._by_path = weakref.WeakValueDictionary()

    def __new__(cls, db_path: str | os.PathLike[str] | None = None) -> Any:
        with _lock:
            if db_path is None:
                return cls._given if cls._given is not None else cls._default()
            path = Path(os.path.realpath(Path(db_path).expanduser()))
            found = cls._by_path.get(path)
            if found is None:
                found = cls._default() if path == cls._default_path() else cls._make(Store({cls._setting: path}))
                cls._by_path[path] = found
            if cls._given is None:
                cls._given = found
            return found

    def __init__(self, db_path: str | os.PathLike[str] | None = None) -> None:
        """Accepts the argument of `__new__`."""

    @classmethod
    def _make(cls, store: Store) -> Any:
        made = super().__new__(cls)
        made._store = store
        return made

    @classmethod
    def _default(cls) -> Any:
        if cls._of_process is None:
            cls._of_process = cls._make(get_store())
        return cls._of_process

    @classmethod
    def _default_path(cls) -> Path | None:
        try:
            return Path(os.path.realpath(cls._default().get_database_path()))
        except Error:
            return None  # there is no home directory

    @classmethod
    def reset_instance(cls) -> None:
        """Makes the next call create a new object, and the store of the process read the environment again."""
        with _lock:
            cls._by_path = weakref.WeakValueDictionary()
            cls._given = cls._of_process = None
        reset_store()

    def get_database_path(self) -> Path:
        """Returns the path of the database file, which need not exist."""
        return Path(self._store.describe()[self._described])
