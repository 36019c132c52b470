"""The replacement of SimpleTuner's modules, in a small tree with the same names of modules."""

import json
import os
import subprocess
import sys
import unittest
from pathlib import Path

from st_secrets.simpletuner import MODULES, __main__
from support import Case

CLOUD = "simpletuner.simpletuner_sdk.server.services.cloud"

SOURCES = {
    "": "VERSION = 'theirs'\n",
    "simpletuner_sdk.server.services.webui_state": """
class Defaults:
    audit_export_webhook_url = None
class WebUIStateStore:
    def load_defaults(self):
        return Defaults()
""",
    "simpletuner_sdk.server.services.cloud": "from .secrets import get_secrets_manager\n",
    "simpletuner_sdk.server.services.cloud.secrets": """
ANSWER = "theirs"
class SecretsManager:
    pass
def get_secrets_manager():
    return SecretsManager()
def only_theirs():
    return get_secrets_manager()
""",
    "simpletuner_sdk.server.services.cloud.audit": """
class AuditStore:
    pass
def get_audit_store():
    return AuditStore()
""",
    "simpletuner_sdk.server.services.cloud.auth.stores": "from .credential_store import CredentialStore\n",
    "simpletuner_sdk.server.services.cloud.auth.stores.credential_store": "class CredentialStore:\n    pass\n",
    "simpletuner_sdk.server.services.cloud.replicate_client": """
from .secrets import get_secrets_manager
DEFAULT_HARDWARE_INFO: dict = {"gpu-l40s": {"name": "L40S (48GB)", "cost_per_second": 0.5}}
class ReplicateCogClient:
    def token(self):
        return get_secrets_manager().get_replicate_token()
async def get_hardware_info_async(store=None):
    return DEFAULT_HARDWARE_INFO
""",
    "cli": """
import subprocess, sys
CHILD = "from simpletuner.simpletuner_sdk.server.services.cloud import secrets as s; print(s.SecretsManager.__module__)"
def main():
    from simpletuner.simpletuner_sdk.server.services.cloud.secrets import SecretsManager
    print(SecretsManager.__module__, sys.argv[1:], flush=True)
    subprocess.run([sys.executable, "-c", CHILD], check=True)
""",
}


class Switch(Case):
    def setUp(self):
        super().setUp()
        self.root = self.home / "site"
        for name, source in SOURCES.items():
            parts = ["simpletuner", *name.split(".")] if name else ["simpletuner"]
            if any(other.startswith(f"{name}.") for other in SOURCES) or not name:
                parts.append("__init__")
            path = self.root.joinpath(*parts).with_suffix(".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            for package in path.relative_to(self.root).parents:
                if package.name:
                    (self.root / package / "__init__.py").touch()
            path.write_text(source, encoding="utf-8")
        places = [str(self.root), os.environ.get("PYTHONPATH", "")]
        os.environ["PYTHONPATH"] = os.pathsep.join(place for place in places if place)

    def run_module(self, *arguments, check=True, environment=None):
        command = [sys.executable, "-m", "st_secrets.simpletuner", *arguments]
        env = {**os.environ, **(environment or {})}
        result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=env)
        if check:
            self.assertEqual((result.returncode, result.stderr), (0, ""), result.stdout)
        return result

    def test_import_replaces_the_names_of_the_modules(self):
        os.environ["REPLICATE_API_TOKEN"] = "r8"
        printed = self.run_python(f"""
import json
import st_secrets.simpletuner
from {CLOUD} import get_secrets_manager, audit, replicate_client, secrets
from {CLOUD}.auth.stores import CredentialStore
import st_secrets.auth.stores, st_secrets.audit, st_secrets.replicate_client, st_secrets.secrets
assert get_secrets_manager is st_secrets.secrets.get_secrets_manager
assert secrets.SecretsManager is st_secrets.SecretsManager
assert secrets.only_theirs() is st_secrets.get_secrets_manager()
assert secrets.ANSWER == "theirs" and secrets.__name__ == "{CLOUD}.secrets"
assert CredentialStore is st_secrets.auth.stores.CredentialStore
assert len(audit.AuditEventType) == 27
assert replicate_client.ReplicateCogClient().token() == "r8"
assert replicate_client.DEFAULT_HARDWARE_INFO is st_secrets.replicate_client.DEFAULT_HARDWARE_INFO
assert "ANSWER" in secrets.__loader__.get_source(secrets.__name__)
print(json.dumps(st_secrets.simpletuner.replaced()))
""")
        replaced = json.loads(printed)
        self.assertEqual(
            set(replaced),
            {f"{CLOUD}.{name}" for name in ("secrets", "audit", "auth.stores.credential_store", "replicate_client")},
        )
        self.assertIn("FileSecretProvider", replaced[f"{CLOUD}.secrets"])

    def test_import_after_simpletuner_is_refused(self):
        self.run_python(f"""
import {CLOUD}.secrets as theirs
try:
    import st_secrets.simpletuner
    raise SystemExit("it is not refused")
except ImportError as error:
    assert "before SimpleTuner" in str(error) and "{CLOUD}.secrets" in str(error), error
assert theirs.SecretsManager.__module__ == "{CLOUD}.secrets"
""")

    def test_without_the_import_nothing_is_replaced(self):
        printed = self.run_python(
            f"import st_secrets\nfrom {CLOUD}.secrets import SecretsManager as S\nprint(S.__module__)"
        )
        self.assertEqual(printed, f"{CLOUD}.secrets")

    def test_webhook_is_that_of_simpletuners_page(self):
        self.run_python(f"""
import st_secrets.simpletuner
import {CLOUD}.audit
from simpletuner.simpletuner_sdk.server.services.webui_state import Defaults
from st_secrets import _webhook
assert _webhook._settings() is None
Defaults.audit_export_webhook_url, Defaults.audit_export_auth_token = "https://siem", "t"
assert _webhook._settings() == {{"url": "https://siem", "token": "t", "security_only": False}}
""")

    def test_command_and_its_children(self):
        code = "from simpletuner.cli import main; main()"
        result = self.run_module("--", sys.executable, "-c", code, "server", "--port", "1")
        self.assertEqual(
            result.stdout.splitlines(),
            ["st_secrets.secrets ['server', '--port', '1']", "st_secrets.secrets"],
        )

    def test_children_keep_their_sitecustomize_and_path(self):
        (self.root / "sitecustomize.py").write_text("import sys\nsys.theirs = True\n", encoding="utf-8")
        code = "import sys; print(sys.theirs, sys.modules['sitecustomize'].__file__, 'bootstrap' in str(sys.path))"
        result = self.run_module("--", sys.executable, "-c", code)
        self.assertEqual(result.stdout.strip(), f"True {self.root / 'sitecustomize.py'} False")
        before = subprocess.run([sys.executable, "-c", "import sys; print(sys.path)"], capture_output=True, text=True)
        after = self.run_module("--", sys.executable, "-c", "import sys; print(sys.path)")
        self.assertEqual(after.stdout, before.stdout)

    def test_python_without_st_secrets(self):
        bootstrap = Path(__main__.__file__).with_name("bootstrap")
        environment = {**os.environ, "PYTHONPATH": f"{bootstrap}{os.pathsep}{self.root}"}
        code = (
            "import sys; sys.modules['st_secrets'] = None\n"
            "try:\n    import simpletuner\nexcept ImportError as error:\n    print(error)\n"
        )
        result = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False
        )
        self.assertIn("st_secrets cannot replace the modules of SimpleTuner in ", result.stdout)
        result = subprocess.run(
            [sys.executable, "-c", "import json"], capture_output=True, text=True, env=environment, check=False
        )
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "", ""))

    def test_status_of_the_command(self):
        result = self.run_module("--", sys.executable, "-c", "raise SystemExit(7)", check=False)
        self.assertEqual(result.returncode, 7)
        result = self.run_module("--", "no-such-command-of-the-tests", check=False)
        self.assertEqual(result.returncode, 127)
        self.assertIn("not found", result.stderr)
        for arguments in ((), ("--",), ("--chekc",)):
            result = self.run_module(*arguments, check=False)
            self.assertEqual(result.returncode, 2)
            self.assertIn("usage", result.stderr)
        self.assertIn("usage", self.run_module("--help").stdout)

    def test_check(self):
        os.environ.update(AWS_REGION="us-west-2", AWS_DEFAULT_REGION="eu-west-1", HF_TOKEN="")
        self.write(".simpletuner/secrets.json", '{"A": "CANARY",,}')
        result = self.run_module("--check", check=False)
        self.assertEqual((result.returncode, result.stderr), (1, ""))  # the tree lacks some of the modules
        for text in (
            str(self.root / "simpletuner"),
            f"{CLOUD}.secrets: SecretsManager, get_secrets_manager",
            "stay SimpleTuner's: ANSWER, only_theirs",
            f"{CLOUD}.cache: this SimpleTuner does not have it",
            "AWS_REGION (us-west-2) is used before AWS_DEFAULT_REGION (eu-west-1)",
            "HF_TOKEN is empty",
            "secrets.json",
            "the default price of gpu-l40s is 0.000975 US dollars a second instead of 0.5",
        ):
            self.assertIn(text, result.stdout)
        self.assertNotIn("CANARY", result.stdout)
        self.assertFalse((self.home / "state").exists())

    def test_check_of_a_whole_tree(self):
        for name in MODULES:
            stem = self.root.joinpath(*name.split("."))
            path = stem / "__init__.py" if stem.is_dir() else stem.with_suffix(".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        self.assertIn("Replaced:", self.run_module("--check").stdout)

    def test_check_without_simpletuner(self):
        result = self.run_module(
            "--check", check=False, environment={"PYTHONPATH": os.environ["PYTHONPATH"].partition(os.pathsep)[2]}
        )
        self.assertEqual(result.returncode, 1)
        self.assertIn("not installed", result.stdout)


if __name__ == "__main__":
    unittest.main()
