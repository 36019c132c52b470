"""Runs the Python examples of README.md and of docs."""

import ast
import asyncio
import contextlib
import inspect
import io
import os
import re
import unittest
from pathlib import Path

from support import Case

README = Path(__file__).resolve().parent.parent / "README.md"
DOCS = Path(__file__).resolve().parents[3] / "docs"
# A block of code, what it prints if a block of text follows, and the mark that says not to run it.
EXAMPLE = re.compile(r"(<!-- python: check only -->\n)?```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", re.DOTALL)


class Readme(Case):
    def test_examples_run(self):
        os.environ["HF_TOKEN"] = "hf_value"
        examples = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
        self.assertGreater(len(examples), 4)

        async def run():
            names = {}
            for example in examples:
                code = compile(example, README.name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
                result = eval(code, names)
                if inspect.iscoroutine(result):
                    await result

        with contextlib.redirect_stdout(io.StringIO()) as printed:
            asyncio.run(run())
        self.assertEqual(printed.getvalue(), "env False False\n<HF_TOKEN>\n")

    def test_every_example_of_the_documents_prints_what_it_should(self):
        count = 0
        for path in sorted(DOCS.glob("*.md")):
            names = {}
            for check_only, example, expected in EXAMPLE.findall(path.read_text(encoding="utf-8")):
                code = compile(example, path.name, "exec")
                if not check_only:
                    with self.subTest(document=path.name), contextlib.redirect_stdout(io.StringIO()) as printed:
                        exec(code, names)
                    self.assertEqual(printed.getvalue(), expected, path.name)
                count += 1
        self.assertGreater(count, 4)


if __name__ == "__main__":
    unittest.main()
