"""The example in examples/python, and the installed package."""

import importlib.metadata
import os
import subprocess
import sys
import unittest
from pathlib import Path

import st_secrets
from support import Case

LAUNCHER = Path(__file__).resolve().parents[3] / "examples" / "python" / "launcher.py"


class Launcher(Case):
    def run_it(self, *arguments):
        result = subprocess.run(
            [sys.executable, str(LAUNCHER), *arguments], capture_output=True, text=True, timeout=60, check=False
        )
        return result.returncode, result.stdout.strip(), result.stderr

    def test_command_gets_the_secrets(self):
        os.environ["HF_TOKEN"] = "CANARY-hf"
        self.write(".simpletuner/secrets.json", '{"REPLICATE_API_TOKEN": "CANARY-r8"}')
        command = ["sh", "-c", "echo ${#HF_TOKEN} ${#REPLICATE_API_TOKEN}; exit 7"]
        self.assertEqual(self.run_it("HF_TOKEN", "REPLICATE_API_TOKEN", "--", *command), (7, "9 9", ""))
        self.assertEqual(
            self.run_it("--from", "HF_TOKEN", "REPLICATE_API_TOKEN"),
            (0, "HF_TOKEN: env\nREPLICATE_API_TOKEN: file", ""),
        )
        code, out, err = self.run_it("--check")
        self.assertEqual((code, err), (0, ""))
        self.assertIn("env: ok", out)
        self.assertNotIn("CANARY", out)

    def test_failures(self):
        code, out, err = self.run_it("NOTHING", "--", "true")
        self.assertEqual((code, out), (3, ""))
        self.assertIn("NOTHING", err)
        self.assertEqual(self.run_it()[0], 2)
        os.environ["A"] = "x"
        self.assertEqual(self.run_it("A", "--", "/no/such/command")[0], 127)
        self.write(".simpletuner/secrets.json", "[]")
        self.assertEqual(self.run_it("B", "--", "true")[0], 4)


class Package(unittest.TestCase):
    def test_contents(self):
        directory = Path(st_secrets.__file__).parent
        self.assertTrue((directory / "py.typed").exists())
        self.assertTrue((directory / "_native.pyi").exists())
        for name in st_secrets.__all__:
            self.assertTrue(hasattr(st_secrets, name), name)
        self.assertRegex(st_secrets.__version__, r"^\d+\.\d+\.\d+$")

    def test_metadata(self):
        distribution = importlib.metadata.distribution("st-secrets")
        metadata = distribution.metadata
        self.assertEqual(metadata["Metadata-Version"], "2.4")
        self.assertEqual(metadata["Version"], st_secrets.__version__)
        self.assertEqual(metadata["License-Expression"], "MIT OR Apache-2.0")
        self.assertIsNone(metadata["License"])
        self.assertEqual(metadata["Requires-Python"], ">=3.10")
        for minor in range(10, 15):
            self.assertIn(f"Programming Language :: Python :: 3.{minor}", metadata.get_all("Classifier"))
        self.assertIn("vault", metadata["Keywords"].split(","))
        urls = dict(url.split(", ") for url in metadata.get_all("Project-URL"))
        self.assertEqual(sorted(urls), ["Changelog", "Documentation", "Issues", "Repository"])
        self.assertTrue(metadata["Description-Content-Type"] and metadata.get_payload().startswith("# st-secrets"))
        for name in metadata.get_all("License-File"):
            self.assertTrue(distribution.read_text(f"licenses/{name}"), name)

    def test_module_only_needs_the_c_library(self):
        module = Path(st_secrets._native.__file__)
        maps = Path("/proc/self/maps").read_text()
        self.assertIn(str(module.resolve()), maps)
        self.assertNotIn("libst_secrets", maps)


if __name__ == "__main__":
    unittest.main()
