"""Puts this package's modules in the place of SimpleTuner's, without a change of SimpleTuner's files.

    import st_secrets.simpletuner      # before SimpleTuner

replaces them in this process. This replaces them in a command and in the Python processes that it starts:

    python -m st_secrets.simpletuner -- simpletuner server

`python -m st_secrets.simpletuner --check` lists what is replaced, and what that changes for this installation.

SimpleTuner's modules are imported as they are; then the names that this package has too are set to its own. All other
names stay SimpleTuner's.
"""

from __future__ import annotations

from ._replace import MODULES, replaced
from ._replace import install as _install

__all__ = ["MODULES", "replaced"]

_install()
