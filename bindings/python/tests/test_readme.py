"""Runs the examples of README.md."""

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
        self.assertEqual(printed.getvalue(), "env False False\n")


if __name__ == "__main__":
    unittest.main()
