"""Makes a Python process replace SimpleTuner's modules as soon as it imports SimpleTuner.

`python -m st_secrets.simpletuner` puts this directory on PYTHONPATH, so that each Python of the command imports this
file when it starts. It then imports the `sitecustomize` that it hides, if there is one. Processes that do not import
SimpleTuner are not changed, and need not have st_secrets.
"""

import os
import sys


class _Finder:
    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:
        if name == "simpletuner" and _Finder in sys.meta_path:
            sys.meta_path.remove(_Finder)
            try:
                import st_secrets.simpletuner  # noqa: F401
            except ImportError as error:
                message = f"st_secrets cannot replace the modules of SimpleTuner in {sys.executable}: {error}"
                raise ImportError(message, name=error.name) from error
        return None


def _import_hidden() -> None:
    """Imports the `sitecustomize` that this file hides."""
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [place for place in sys.path if os.path.abspath(place or ".") != here]
    own = sys.modules.pop("sitecustomize", None)
    try:
        import sitecustomize  # type: ignore[import-not-found]  # noqa: F401
    except ImportError as error:
        if error.name != "sitecustomize":
            raise
    finally:
        if own is not None:
            sys.modules.setdefault("sitecustomize", own)


sys.meta_path.insert(0, _Finder)
_import_hidden()
