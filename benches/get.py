"""Runs benches/get.c with a secrets file and with AWS Secrets Manager (moto).

usage: get.py PROGRAM [ARGUMENT…]
FILE in an argument is the path of the file. Without arguments it measures everything.
"""

import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time

import boto3

TOKEN = "hf_0123456789abcdef0123456789abcdef"
EVERYTHING = [sys.argv[1], "FILE", "IN_FILE", "IN_ENVIRONMENT", "IN_AWS"]


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def wait_for(server, port):
    end = time.monotonic() + 60
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            if server.poll() is not None or time.monotonic() > end:
                sys.exit("moto does not start")
            time.sleep(0.05)


def run(work, port):
    url = f"http://127.0.0.1:{port}"
    keys = {"AWS_ACCESS_KEY_ID": "AKIABENCHMARKS", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}
    os.environ.update(keys)
    boto3.client("secretsmanager", endpoint_url=url).create_secret(
        Name="training", SecretString=json.dumps({"IN_AWS": TOKEN})
    )
    file = work / "secrets.json"
    file.write_text(json.dumps({"IN_FILE": TOKEN, "OTHER": TOKEN}), encoding="utf-8")
    file.chmod(0o600)
    environment = {
        **{name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", *keys) if name in os.environ},
        "AWS_ENDPOINT_URL_SECRETS_MANAGER": url,
        "AWS_EC2_METADATA_DISABLED": "true",
        "SIMPLETUNER_AWS_SECRET_NAME": "training",
        "IN_ENVIRONMENT": TOKEN,
        "HOME": str(work),
    }
    command = sys.argv[2:] or EVERYTHING
    subprocess.run([str(file) if part == "FILE" else part for part in command], env=environment, check=True)


def main():
    with tempfile.TemporaryDirectory() as work:
        port = free_port()
        moto = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        server = subprocess.Popen(moto, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_for(server, port)
            run(pathlib.Path(work), port)
        finally:
            server.kill()
            server.wait()


main()
