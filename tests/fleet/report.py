"""Writes the results of the runs: JSON, a table in Markdown, and a picture."""

import json
from pathlib import Path


def write(arguments, results):
    build = Path(arguments.build)
    (build / "results.json").write_text(json.dumps([vars(result) for result in results], indent=1) + "\n")
