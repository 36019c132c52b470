"""Models the start and a day of a fleet by discrete events, up to sizes that no test machine can run.

usage: model.py [--seed 1] [--measured build/fleet/results.json …]

Hosts and ranks, the spread of their start, the latency and the quotas of AWS as token buckets, and three policies:

- alone: every rank logs in and reads both secrets in one BatchGetSecretValue; three attempts, with a random part of
  1 s and 2 s between them, as in the standard retry mode of the AWS tools.
- patient: every rank logs in and reads each secret; after throttling it waits between 1 s and three times its last
  delay, at most 20 s and a quarter of the time that is left, until its deadline.
- share: the first rank of each host does as the patient one, the others wait for it.

With --measured it also prints, for each run of that file that it can model, what it predicts beside what was counted,
and so which of its numbers were checked. It models neither the processors of the machine nor failed logins.
"""

import argparse
import heapq
import json
import random
from dataclasses import dataclass, field

# Requests a second; a bucket holds those of one second.
QUOTAS = {"login": 600, "batch": 100, "get": 10_000}
NAMES = 2
TTL = 300
# The soft refresh point is drawn from this part of the time to live.
SOFT = (0.7, 0.95)
CREDENTIALS = 3600
DAY = 86_400
# Dollars for a request to Secrets Manager; logins are free.
PRICE = 0.05 / 10_000


@dataclass
class Bucket:
    rate: float
    tokens: float = 0
    filled: float = 0

    def take(self, now):
        most = max(self.rate, 1)
        self.tokens = min(most, self.tokens + (now - self.filled) * self.rate)
        self.filled = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


@dataclass
class Settings:
    policy: str
    hosts: int
    ranks: int
    scale: float = 1
    # Seconds over which the hosts start, and of one request.
    spread: float = 3
    latency: float = 0.02
    timeout: float = 10


@dataclass
class Totals:
    requests: dict = field(default_factory=dict)
    throttled: int = 0
    failed: int = 0
    last: float = 0
    by_second: dict = field(default_factory=dict)

    def count(self, action, now):
        self.requests[action] = self.requests.get(action, 0) + 1
        self.by_second[int(now)] = self.by_second.get(int(now), 0) + 1


class Client:
    """A process that sends its requests one after the other."""

    def __init__(self, start, waiting, settings):
        # How many ranks get their secrets when this process does.
        self.waiting = waiting
        self.deadline = start + settings.timeout
        reads = ["batch"] if settings.policy == "alone" else ["get"] * NAMES
        self.todo = ["login", *reads]
        self.attempt, self.delay = 1, 0.0

    def delay_after_throttling(self, now, policy, dice):
        if policy == "alone":
            return None if self.attempt >= 3 else dice.uniform(0, 2 ** (self.attempt - 1))
        most = min(20, 3 * max(1, self.delay), max(0.0, self.deadline - now) / 4)
        self.delay = dice.uniform(min(1, most / 2), most)
        return self.delay


def start(settings, seed=1):
    """All hosts start within the spread. Returns the totals."""
    dice, totals = random.Random(seed), Totals()
    buckets = {name: Bucket(rate * settings.scale, max(rate * settings.scale, 1)) for name, rate in QUOTAS.items()}
    events = []
    for host in range(settings.hosts):
        # The ranks of a host start together.
        starts = [dice.uniform(0, settings.spread)] * (1 if settings.policy == "share" else settings.ranks)
        for number, begin in enumerate(starts):
            client = Client(begin, settings.ranks // len(starts), settings)
            heapq.heappush(events, (begin, host, number, client))
    while events:
        now, host, number, client = heapq.heappop(events)
        action = client.todo[0]
        totals.count(action, now)
        answered = now + settings.latency * dice.uniform(0.5, 1.5)
        if buckets[action].take(now):
            client.todo.pop(0)
            client.attempt, client.delay = 1, 0.0
            then = answered
        else:
            totals.throttled += 1
            delay = client.delay_after_throttling(answered, settings.policy, dice)
            if delay is None or answered + delay >= client.deadline:
                totals.failed += client.waiting
                continue
            client.attempt += 1
            then = answered + delay
        if client.todo:
            heapq.heappush(events, (then, host, number, client))
        else:
            totals.last = max(totals.last, answered)
    return totals


def day(policy, hosts, ranks, spread, seed=1, seconds=DAY):
    """The refreshes of a day: requests a second, in bins. Those that are alone refresh at the end of the TTL."""
    dice, totals = random.Random(seed), Totals()
    clients = hosts if policy == "share" else hosts * ranks
    reads = {"batch": 1} if policy == "alone" else {"get": NAMES}
    ((read, number),) = reads.items()
    bins = [0] * (seconds + 1)
    logins = 0
    for _ in range(clients):
        now = dice.uniform(0, spread)
        login = now
        while now < seconds:
            bins[int(now)] += number
            if now >= login:
                bins[int(now)] += 1
                logins += 1
                # Renewed in the last quarter of an hour; a refresh comes every few minutes.
                login = now + CREDENTIALS - 900
            now += TTL if policy == "alone" else TTL * dice.uniform(*SOFT)
    totals.requests = {read: sum(bins) - logins, "login": logins}
    # Without the start.
    later = bins[int(spread) + 2 : seconds]
    totals.by_second = {"most": max(later), "mean": sum(later) / max(len(later), 1)}
    return totals


def thousands(number):
    return f"{number:,.0f}".replace(",", " ")


def print_starts(seed):
    print("The start. The hosts start within 3 s, a request takes 20 ms, the quotas of one account.\n")
    print("| ranks | policy | timeout | logins | reads | throttled | ranks failed | last rank |")
    print("| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for hosts in (1_250, 12_500):
        for policy, timeout in (("alone", 10), ("patient", 10), ("patient", 60), ("patient", 240), ("share", 60)):
            if hosts == 1_250 and timeout == 240:
                continue
            settings = Settings(policy, hosts, 8, timeout=timeout)
            totals = start(settings, seed)
            reads = sum(totals.requests.values()) - totals.requests["login"]
            cells = [thousands(totals.requests["login"]), thousands(reads), thousands(totals.throttled)]
            cells += [thousands(totals.failed), f"{totals.last:.1f} s"]
            print(f"| {thousands(hosts * 8)} | {policy} | {timeout} s | {' | '.join(cells)} |")


def print_days(seed):
    print("\nA day of refreshing, with a time to live of 300 s.\n")
    print("| ranks | policy | requests to Secrets Manager | dollars | logins | most in a second | mean of a second |")
    print("| ---: | --- | ---: | ---: | ---: | ---: | ---: |")
    for hosts, seconds in ((1_250, DAY), (12_500, DAY)):
        for policy in ("alone", "patient", "share"):
            # The start of ranks that are alone takes as long as the quota of logins allows.
            clients = hosts if policy == "share" else hosts * 8
            # A hundred thousand clients: two hours, in proportion.
            part = seconds if clients <= 12_500 else 7200
            totals = day(policy, hosts, 8, max(1, clients / QUOTAS["login"]), seed, part)
            factor = seconds / part
            reads = sum(count for action, count in totals.requests.items() if action != "login") * factor
            cells = [thousands(reads), f"{reads * PRICE:.2f}", thousands(totals.requests["login"] * factor)]
            cells += [thousands(totals.by_second["most"]), thousands(totals.by_second["mean"])]
            print(f"| {thousands(hosts * 8)} | {policy} | {' | '.join(cells)} |")


def print_checks(path, seed):
    """What the model predicts for the runs of a file of results, beside what the gate counted."""
    policies = {"aws-control": ("patient", 10), "aws-manners": ("patient", 60), "aws-share": ("share", 10)}
    print(f"\nChecked against {path}: model / measured.\n")
    print("| run | ranks | requests | throttled | ranks failed | last rank |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    with open(path, encoding="utf-8") as file:
        results = json.load(file)
    for result in results:
        if result["name"] not in policies:
            continue
        policy, timeout = policies[result["name"]]
        # What has read by batch is the policy of the AWS tools.
        if "BatchGetSecretValue" in result["actions"] and policy == "patient":
            policy = "alone"
        report = result["report"]
        begin = report["start"]
        settings = Settings(policy, result["hosts"], result["ranks"], result["scale"], begin["max"], 0.02, timeout)
        totals = start(settings, seed)
        requests = sum(action["requests"] for action in result["actions"].values())
        throttled = sum(action["throttled"] for action in result["actions"].values())
        last = report["since_signal"]["max"] if report["since_signal"] else 0
        pairs = [
            (sum(totals.requests.values()), requests),
            (totals.throttled, throttled),
            (totals.failed, report["failed"]),
        ]
        cells = [f"{thousands(model)} / {thousands(measured)}" for model, measured in pairs]
        cells.append(f"{totals.last:.1f} / {last:.1f} s")
        print(f"| {result['name']} | {thousands(report['ranks'])} | {' | '.join(cells)} |")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--measured", nargs="*", default=[])
    arguments = parser.parse_args()
    print_starts(arguments.seed)
    print_days(arguments.seed)
    for path in arguments.measured:
        print_checks(path, arguments.seed)


if __name__ == "__main__":
    main()
