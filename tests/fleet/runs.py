"""The runs of the fleet, each with what it must reach."""

import base64
import math
import os
import statistics
import tempfile
import time
from pathlib import Path

from ranks import MEMORY, Ranks
from servers import DOCUMENTS, SECRETS, WHOLE, Tier

# A deadline that even 10 000 ranks behind AWS's quota of logins meet.
PATIENT = {"timeout": 60}
# For runs in which more than one process of a host loads: no quotas.
NO_QUOTAS = {"proportion": 0}
# The directory of a host, in memory of its own where mounting is allowed.
MOUNT = ["--tmpfs", 1024]
NOBODY = 65534
LOGIN = {"aws": "AssumeRoleWithWebIdentity", "vault": "login"}
READS = {"aws": ("GetSecretValue", "BatchGetSecretValue"), "vault": ("read",)}


class Skipped(Exception):
    """A run is impossible on this machine."""


class Result:
    """What a run counted, and which of its bars it missed."""

    def __init__(self, fleet, backend, report, counts):
        self.name, self.kind, self.hosts, self.ranks = "", backend.kind, fleet.hosts, fleet.ranks
        self.report, self.step, self.most_connections = report, counts["step"], counts["most_connections"]
        self.by_host = counts["hosts"]
        self.actions = counts["actions"]
        self.scale, self.problems, self.notes = backend.scale, [], []

    def requests(self, *actions):
        return sum(self.actions.get(action, {}).get("requests", 0) for action in actions or self.actions)

    def throttled(self):
        return sum(action["throttled"] for action in self.actions.values())

    def most_per_host(self, without=()):
        """The largest number of requests of one host for one action and document."""
        hosts = (names for host, names in self.by_host.items() if int(host) not in without)
        return max((number for names in hosts for number in names.values()), default=0)

    def most_in_all(self):
        """The largest number of requests of all hosts for one document, or of logins."""
        reads = sum(self.requests(action) for action in READS[self.kind])
        return max(self.requests(LOGIN[self.kind]), math.ceil(reads / len(DOCUMENTS)))

    def must(self, condition, text):
        if not condition:
            self.problems.append(text)

    def must_succeed(self):
        failed = self.report["failed"]
        self.must(failed == 0, f"{failed} ranks failed: {self.report['statuses']}")
        self.must_end_well(self.report, "ranks")
        if "intruders" in self.report:
            self.must_end_well(self.report["intruders"], "intruders")

    def must_end_well(self, report, name):
        dead, killed = report["dead"], report["killed"]
        self.must(dead == killed, f"{dead} {name} ended early, {killed} were killed")
        least = len(SECRETS) * (report["ranks"] - killed)
        self.must(report["gets"] >= least, f"{name} got {report['gets']} values, not {least}")
        self.must(report["wrong"] == 0, f"{report['wrong']} wrong values")

    def must_load_once_per_host(self, without=()):
        most = self.most_per_host(without)
        self.must(most <= 1, f"a host sent {most} equal requests")
        self.must(self.throttled() == 0, f"{self.throttled()} requests were throttled")

    def summary(self):
        report = self.report
        requests = ", ".join(f"{action} {counts['requests']}" for action, counts in sorted(self.actions.items()))
        load = report["since_signal"] or {"p50": 0, "max": 0}
        span = report["first_to_last_of_host"] or {"p50": 0, "max": 0}
        return (
            f"{report['ranks']} ranks, {report['failed']} failed, {report['wrong']} wrong, "
            f"{self.requests()} requests ({requests}), {self.throttled()} throttled, "
            f"last rank after {load['max']:.2f} s, first to last of a host {span['p50'] * 1e3:.1f} ms "
            f"(most {span['max'] * 1e3:.1f})" + "".join(f"; {note}" for note in self.notes)
        )


def needs_other_users(fleet):
    """Skips a run that changes the owner of a directory or the user of a process, where that is not allowed."""
    probe = fleet.home / "owner"
    probe.touch()
    try:
        os.chown(probe, NOBODY, NOBODY)
    except OSError:
        raise Skipped("this user may not act as another one") from None


def one_round(fleet, backend, share=False, options=(), needs_mounts=False, **config):
    if share and fleet.is_large:
        # The processors are the limit then: thousands of processes share them with the servers.
        config = {**PATIENT, **config}
    with backend, fleet.start(backend, share, options, **config) as ranks:
        if needs_mounts and ranks.ready["private_mounts"] < fleet.hosts:
            raise Skipped("this user may not mount file systems")
        backend.gate.reset()
        report = ranks.round()
        return Result(fleet, backend, report, backend.gate.counts())


def control(fleet, backend):
    """Each rank alone, with the default settings: the quotas bite."""
    result = one_round(fleet, backend)
    result.must(result.throttled() > 0, "no request was throttled: the gate enforces nothing")
    result.must(result.report["failed"] > 0, "no rank failed: the quotas are too large for this control")
    result.must_end_well(result.report, "ranks")
    return result


def manners(fleet):
    """Each rank alone, with a deadline that allows for the quota of logins."""
    result = one_round(fleet, fleet.aws(), **PATIENT)
    result.must_succeed()
    if fleet.timing:
        last = (result.report["since_signal"] or {"max": math.inf})["max"]
        result.must(last <= 30, f"the last rank has its secrets after {last:.1f} s")
    return result


def share(fleet, backend):
    result = one_round(fleet, backend, True, MOUNT)
    result.must_succeed()
    result.must_load_once_per_host()
    result.must(result.requests(LOGIN[backend.kind]) <= fleet.hosts, "more logins than hosts")
    result.must(result.report["shared"] > 0, "no value is flagged as shared")
    return result


def host(fleet):
    """One host with eight ranks: how long after the first one the last one has its secrets."""
    spans = []
    with fleet.aws(**NO_QUOTAS, replay=60) as backend:
        for _ in range(9):
            with fleet.start(backend, True, MOUNT, 1, 8) as ranks:
                backend.gate.reset()
                result = Result(fleet, backend, ranks.round(), backend.gate.counts())
                spans.append(result.report["first_to_last_of_host"]["max"])
    result.hosts, result.ranks = 1, 8
    result.must_succeed()
    result.must_load_once_per_host()
    span = statistics.median(spans)
    result.report["first_to_last_of_host"]["p50"] = span
    if fleet.timing:
        result.must(span <= 0.02, f"the last rank of a host is {span * 1e3:.1f} ms after its first")
    return result


def slow(fleet):
    """A load takes most of the time of a call: the others wait on, and one of them steps in after each half of it."""
    # A load takes 18 of 30 seconds, so a busy machine has 12 seconds for everything else.
    result = one_round(fleet, fleet.aws(latency=6), True, MOUNT, timeout=30)
    result.must_succeed()
    most = result.most_per_host()
    result.must(most <= 3, f"a host sent {most} equal requests")
    result.must(result.throttled() == 0, f"{result.throttled()} requests were throttled")
    return result


def canaries(fleet):
    """No file of the share contains a secret, or the token of the login, in clear."""
    backend = fleet.aws(replay=60)
    with backend, fleet.start(backend, True) as ranks:
        backend.gate.reset()
        result = Result(fleet, backend, ranks.round(), backend.gate.counts())
        hidden = [value.encode() for value in SECRETS.values()] + [backend.server.token_file.read_bytes().strip()]
        hidden += [base64.b64encode(value)[:-4] for value in hidden]
        files = [path for path in Path(ranks.base.name).rglob("*") if path.is_file()]
        found = [path.name for path in files if any(value in path.read_bytes() for value in hidden)]
    result.must_succeed()
    result.must(len(files) >= fleet.hosts, f"only {len(files)} files in the directories of the share")
    result.must(not found, f"values in clear: {found}")
    result.notes.append(f"{len(files)} files of the share searched")
    return result


def aws_of_one_address(fleet):
    """For all hosts, so that they have the same settings. The gate does not count their requests by host."""
    backend = fleet.aws()
    backend.gate.host_url = backend.gate.url
    return backend


def tier(fleet):
    """All hosts start at once with a cluster tier: one of them logs in and reads."""
    with Tier(fleet.home) as redis:
        result = one_round(fleet, aws_of_one_address(fleet), True, MOUNT, **redis.config())
    result.must_succeed()
    most = result.most_in_all()
    # Thousands of processes wait so long for a processor that some exchanges with the tier time out.
    bar = 2 if fleet.timing or not fleet.is_large else fleet.hosts // 50
    result.must(0 < most <= bar, f"the hosts sent {most} equal requests")
    return result


def failing_tier(fleet, disturb):
    """The tier fails while the hosts start: each host may load for itself."""
    backend = aws_of_one_address(fleet)
    with Tier(fleet.home) as redis, backend, fleet.start(backend, True, MOUNT, **PATIENT, **redis.config()) as ranks:
        backend.gate.reset()
        ranks.start_round()
        # The first host is loading.
        while not backend.gate.counts()["actions"]:
            time.sleep(0.001)
        disturb(redis)
        result = Result(fleet, backend, ranks.report(), backend.gate.counts())
    result.must_succeed()
    most = result.most_in_all()
    # A process that gets no processor between reading the tier's revision and following it drops what others of its
    # host have loaded meanwhile.
    bar = fleet.hosts if fleet.timing else 2 * fleet.hosts
    result.must(0 < most <= bar, f"{fleet.hosts} hosts sent {most} equal requests")
    return result


def rotation(fleet, listens):
    """A secret is rotated while all ranks read it, and the revision of the tier incremented."""
    fleet.hosts = min(fleet.hosts, FOLLOWING_HOSTS)
    backend, rotations = aws_of_one_address(fleet), 24 if fleet.is_large else 4
    backend.server.rotate(0)
    readers = READERS if fleet.is_large else 1
    options = [*MOUNT, "--follow", "--interval", 0.5 if fleet.is_large else 0.05, *["--listen"] * listens]
    options += ["--readers", readers]
    config = {**PATIENT, "cache_ttl": 3600}
    with Tier(fleet.home) as redis, backend, fleet.start(backend, True, options, **config, **redis.config()) as ranks:
        ranks.start_round()
        for number in range(1, rotations + 1):
            time.sleep(5 if fleet.is_large else 1)
            backend.server.rotate(number)
            rotated = time.monotonic_ns()
            redis.bump()
            ranks.rotated(rotated)
        ranks.end_rotations()
        result = Result(fleet, backend, ranks.report(), backend.gate.counts())
    result.must_succeed()
    older = result.report["older_after_rotation"]
    result.notes.append(f"{readers * fleet.hosts * fleet.ranks} readers, {rotations} rotations")
    result.notes.append(f"older values after a rotation: p50 {older['p50']:.2f} s, p99 {older['p99']:.2f} s")
    if fleet.timing:
        result.must(older["p99"] <= (1 if listens else 2), f"p99 of older values is {older['p99']:.2f} s")
    return result


def restart(redis):
    redis.stop()
    redis.start()


def warmed(fleet):
    """A process of each host gets the secrets before the ranks start."""
    result = one_round(fleet, fleet.aws(), True, [*MOUNT, "--warm"])
    result.must_succeed()
    result.must(result.requests() == 0, f"the ranks sent {result.requests()} requests")
    return result


def launched(fleet):
    """`st-secrets run --share` starts the ranks of one host, and has loaded their document."""
    with fleet.aws(replay=0) as backend, tempfile.TemporaryDirectory(prefix="fleet-", dir=MEMORY) as directory:
        variables = backend.server.variables(backend.gate)
        given = {name: value.replace("%h", "127.77.0.1") for name, value in variables.items()}
        given |= {"SIMPLETUNER_AWS_SECRET_NAME": WHOLE, "ST_SECRETS_SHARE_DIR": f"{directory}/share"}
        launcher = [fleet.programs.parent / "bin" / "st-secrets", "run", "--share", "--"]
        program, config = fleet.programs / "ranks", {"providers": ["aws"]}
        with Ranks(program, fleet.home, config, {}, 1, fleet.ranks, launcher=launcher, given=given) as ranks:
            before = backend.gate.counts()["actions"]
            backend.gate.reset()
            result = Result(fleet, backend, ranks.round(), backend.gate.counts())
    result.hosts = 1
    result.must_succeed()
    result.must(before["GetSecretValue"]["requests"] == 1, f"the launcher sent {before}")
    result.must(result.requests() == 0, f"the ranks sent {result.requests()} requests")
    result.must(result.report["shared"] == result.report["gets"], "values are not flagged as shared")
    return result


def victims(fleet, how):
    """Some loaders are killed or stopped in the middle of a load: of each host, one rank at most."""
    percent = max(1, 200 / fleet.hosts)
    result = one_round(fleet, fleet.aws(**NO_QUOTAS), True, [*MOUNT, f"--{how}", percent])
    killed = result.report["killed_hosts"]
    result.must(len(killed) > 0, "no loader was found in the middle of a load")
    result.must_succeed()
    result.must_load_once_per_host(without=killed)
    most = result.most_per_host()
    result.must(most <= 2, f"the host of a victim sent {most} equal requests")
    result.notes.append(f"{len(killed)} loaders {how}ped" if how == "stop" else f"{len(killed)} loaders killed")
    return result


def damage(fleet, kind):
    """The directory of some hosts cannot be used: their ranks load for themselves, the others are as before."""
    percent, config = max(1, 200 / fleet.hosts), dict(PATIENT)
    damaged = [host for host in range(fleet.hosts) if int(percent / 100 * (host + 1)) > int(percent / 100 * host)]
    options = [*MOUNT, "--damage", kind, "--damaged", percent]
    if kind == "owner":
        needs_other_users(fleet)
    backend = fleet.aws(**NO_QUOTAS)
    if kind != "page":
        result = one_round(fleet, backend, True, options, needs_mounts=kind == "full", **config)
        result.must_succeed()
        result.must_load_once_per_host(without=damaged)
        for host in damaged:
            counts = result.by_host.get(str(host), {})
            alone = bool(counts) and all(number == fleet.ranks for number in counts.values())
            result.must(alone, f"of the {fleet.ranks} ranks of the damaged host {host}, not each loaded: {counts}")
        return result
    with backend, fleet.start(backend, True, [*options, "--rounds", 2], **config, cache_ttl=2) as ranks:
        first = ranks.round()
        time.sleep(3)
        backend.gate.reset()
        result = Result(fleet, backend, ranks.round(), backend.gate.counts())
    result.must(first["failed"] == 0, "ranks failed before the damage")
    result.must_succeed()
    result.must_load_once_per_host(without=damaged)
    most = result.most_per_host()
    result.must(most <= 2, f"a damaged host sent {most} equal requests")
    return result


def intruder_of_other_user(fleet):
    """Another user on the directory of each host loads for itself."""
    needs_other_users(fleet)
    result = one_round(fleet, fleet.aws(**NO_QUOTAS), True, [*MOUNT, "--intruder", "user"])
    result.must_succeed()
    intruders = result.report["intruders"]
    result.must(intruders["failed"] == 0, f"intruders failed: {intruders['statuses']}")
    result.must(intruders["shared"] == 0, "another user got a shared document")
    most = result.most_per_host()
    result.must(most <= 2, f"a host with an intruder sent {most} equal requests")
    return result


def intruder_of_other_role(fleet):
    """A role without permission, on the same directory: AWS denies, and the share does not help."""
    backend = fleet.aws(**NO_QUOTAS)
    role = ["--intruder", "settings", "--intruder-env", f"AWS_ROLE_ARN={backend.server.stranger}"]
    result = one_round(fleet, backend, True, [*MOUNT, *role])
    result.must_succeed()
    intruders = result.report["intruders"]
    result.must(intruders["failed"] == intruders["ranks"], "a role without permission got a secret")
    result.must(list(intruders["statuses"]) == ["ST_ACCESS_DENIED"], f"{intruders['statuses']}")
    return result


def intruder_of_other_key(fleet):
    """The same identity with another key: it cannot open the document, and loads for itself."""
    key = ["--intruder", "settings", "--intruder-config", "share_key=" + "A" * 43 + "="]
    result = one_round(fleet, fleet.aws(**NO_QUOTAS), True, [*MOUNT, *key])
    result.must_succeed()
    intruders = result.report["intruders"]
    result.must(intruders["failed"] == 0, f"intruders failed: {intruders['statuses']}")
    result.must(intruders["shared"] == 0, "a process with another key got a shared document")
    return result


def outage(fleet, backend, kind="503"):
    """The back end fails for 5 s after the first load: old values, and at most one probe per host and second."""
    options = [*MOUNT, "--rounds", 2, "--repeat", 5, "--interval", 0.5]
    ttl = 10 if fleet.is_large else 1
    settings = {"cache_ttl": ttl, "max_attempts": 1, **PATIENT}
    if kind == "hang":
        settings["timeout"] = 20
    with backend, fleet.start(backend, True, options, **settings) as ranks:
        first = ranks.round()
        # Everything has expired.
        time.sleep(ttl + 0.5)
        backend.gate.outage(600, kind)
        backend.gate.reset()
        report = ranks.round()
        result = Result(fleet, backend, report, backend.gate.counts())
    result.must(first["failed"] == 0, f"ranks failed before the outage: {first['statuses']}")
    result.must_succeed()
    result.must(report["stale"] == report["gets"], f"{report['stale']} of {report['gets']} values are flagged as stale")
    most = max((sum(names.values()) for names in result.by_host.values()), default=0)
    last = report["last_get"]
    result.must(most <= 1 + last, f"a host sent {most} requests in {last:.1f} s of outage")
    result.notes.append(f"{report['stale']} of {report['gets']} values stale, at most {most} probes of a host")
    return result


# Requests a second of OpenBao's quota for each host. A host needs four, and in the control each of its ranks.
VAULT_RATE, VAULT_CONTROL_RATE, VAULT_HOSTS = 5, 1, 200
# Hosts whose ranks read all the time, and the threads of each rank: 10 000 processes need 24 GB.
FOLLOWING_HOSTS, READERS = 250, 5
# What takes as long as its timeouts.
LARGE_ONLY = {"aws-hang"}


def with_vault(fleet, run, rate):
    """OpenBao serves some hundred logins a second here: a large fleet has fewer hosts."""
    fleet.hosts = min(fleet.hosts, VAULT_HOSTS)
    return run(fleet, fleet.vault(rate and rate * fleet.hosts))


RUNS = {
    "aws-control": lambda fleet: control(fleet, fleet.aws(proportion=1 if fleet.is_large else 0.5)),
    "aws-manners": manners,
    "aws-share": lambda fleet: share(fleet, fleet.aws()),
    "aws-host": host,
    "aws-slow": slow,
    "aws-tier": tier,
    "aws-tier-killed": lambda fleet: failing_tier(fleet, Tier.stop),
    "aws-tier-flushed": lambda fleet: failing_tier(fleet, Tier.flush),
    "aws-tier-restarted": lambda fleet: failing_tier(fleet, restart),
    "aws-rotation": lambda fleet: rotation(fleet, False),
    "aws-rotation-listening": lambda fleet: rotation(fleet, True),
    "aws-warmed": warmed,
    "aws-launched": launched,
    "aws-canaries": canaries,
    "aws-killed": lambda fleet: victims(fleet, "kill"),
    "aws-stopped": lambda fleet: victims(fleet, "stop"),
    "aws-full": lambda fleet: damage(fleet, "full"),
    "aws-page": lambda fleet: damage(fleet, "page"),
    "aws-owner": lambda fleet: damage(fleet, "owner"),
    "aws-symlink": lambda fleet: damage(fleet, "symlink"),
    "aws-mode": lambda fleet: damage(fleet, "mode"),
    "aws-other-user": intruder_of_other_user,
    "aws-other-role": intruder_of_other_role,
    "aws-other-key": intruder_of_other_key,
    "aws-outage": lambda fleet: outage(fleet, fleet.aws()),
    "aws-hang": lambda fleet: outage(fleet, fleet.aws(), "hang"),
    "vault-control": lambda fleet: with_vault(fleet, control, VAULT_CONTROL_RATE),
    "vault-share": lambda fleet: with_vault(fleet, share, VAULT_RATE),
    "vault-outage": lambda fleet: with_vault(fleet, outage, None),
}
