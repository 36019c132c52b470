"""Writes the results of the runs: JSON, a table in Markdown, and a picture."""

import json
import re
from pathlib import Path

DOCUMENT = Path(__file__).resolve().parent.parent.parent / "docs" / "fleet.md"
# Ranks of a fleet that faces the quotas of an account. The picture shows one.
FULL_SIZE = 10_000
WIDTH, HEIGHT, HEAD = 880, 330, 96
# The panels of the picture, and their titles.
PANELS = {
    "aws-control": "share off, default settings",
    "aws-manners": "share off, timeout 60 s",
    "aws-share": "share on",
}
PANEL_WIDTH, PANEL_HEIGHT, GAP, LEFT = 252, 170, 28, 50
# Seconds of a bar.
BAR = 0.5

STYLE = """
  text { font: 12px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328; }
  .title { font-size: 17px; font-weight: 600; }
  .panel { font-size: 13px; font-weight: 600; }
  .small { fill: #59636e; }
  .right { text-anchor: end; }
  .middle { text-anchor: middle; }
  .served { fill: #0969da; }
  .throttled { fill: #d4760a; }
  .axis { stroke: #818b98; }
  .grid { stroke: #d1d9e0; }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc; }
    .small { fill: #9198a1; }
    .served { fill: #4493f8; }
    .throttled { fill: #e3912d; }
    .grid { stroke: #3d444d; }
  }"""


def write(arguments, results):
    build = Path(arguments.build)
    (build / "results.json").write_text(json.dumps([vars(result) for result in results], indent=1) + "\n")
    (build / "fleet.md").write_text(table(results))
    drawn = [result for result in results if result.name in PANELS]
    if drawn:
        (build / "fleet.svg").write_text(picture(drawn))


def write_docs(arguments, results):
    size = arguments.hosts * arguments.ranks
    replace(f"{size} ranks", table(results))
    drawn = [result for result in results if result.name in PANELS]
    if size >= FULL_SIZE and len(drawn) == len(PANELS):
        DOCUMENT.with_suffix(".svg").write_text(picture(drawn))


def replace(name, text):
    """Replaces the block between `<!-- NAME -->` and `<!-- end -->` in the document."""
    document = DOCUMENT.read_text(encoding="utf-8")
    pattern = re.compile(rf"(<!-- {re.escape(name)} -->\n).*?(<!-- end -->)", re.DOTALL)
    DOCUMENT.write_text(pattern.sub(lambda found: f"{found[1]}\n{text}\n{found[2]}", document), encoding="utf-8")


def digits(number):
    return "–" if number is None else f"{number:,}".replace(",", " ")


def table(results):
    heads = (
        "run",
        "ranks",
        "logins",
        "reads",
        "throttled",
        "ranks failed",
        "wrong values",
        "most equal requests of a host",
    )
    heads += ("last rank", "first to last of a host")
    rows = [heads, ["---"] + ["---:"] * (len(heads) - 1)]
    for result in results:
        report = result.report
        times = [report["since_signal"], report["first_to_last_of_host"]]
        logins = result.requests("AssumeRoleWithWebIdentity", "login")
        counted = [
            report["ranks"],
            logins,
            result.requests() - logins,
            result.throttled(),
            report["failed"],
            report["wrong"],
        ]
        # Requests to an address that all hosts share are not counted by host.
        counted.append(result.most_per_host() if result.by_host or not result.requests() else None)
        last = f"{times[0]['max']:.1f} s" if times[0] else "–"
        span = f"{times[1]['p50'] * 1e3:.1f} ms" if times[1] else "–"
        rows.append([f"`{result.name}`", *map(digits, counted), last, span])
    return "".join(f"| {' | '.join(str(cell) for cell in row)} |\n" for row in rows)


def bars(result):
    """The requests a second that were served and throttled, in bars of `BAR` seconds."""
    width = round(BAR / result.step)
    length = max((len(action["series"]) for action in result.actions.values()), default=0)
    found = [[0, 0] for _ in range(-(-length // width))]
    for action in result.actions.values():
        for at, (requests, throttled) in enumerate(action["series"]):
            found[at // width][0] += requests - throttled
            found[at // width][1] += throttled
    return [(served / BAR, throttled / BAR) for served, throttled in found]


def round_up(value, steps=(1, 1.2, 1.6, 2, 3, 4, 5, 6, 8, 10)):
    unit = 1
    while unit * 10 < value:
        unit *= 10
    return next((unit * step for step in steps if unit * step >= value), unit * 10)


def picture(results):
    series = {result.name: bars(result) for result in results}
    most = round_up(max(max(map(sum, found), default=1) for found in series.values()))
    seconds = round_up(max(len(found) for found in series.values()) * BAR, (1, 1.2, 1.6, 2, 3, 4, 5, 6, 8, 10))
    size = f"{results[0].hosts * results[0].ranks:,}".replace(",", " ")
    hosts = f"{results[0].hosts:,}".replace(",", " ")
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        'role="img">',
        f"<title>Requests a second of {size} processes that start at once</title>",
        f"<style>{STYLE}\n</style>",
        f'<text class="title" x="10" y="24">{size} processes on {hosts} hosts start at once: requests a second</text>',
        '<text class="small" x="10" y="45">Two secrets of AWS Secrets Manager, a login with a web identity, the quotas '
        "of one account.</text>",
        '<rect class="served" x="10" y="57" width="12" height="12" rx="2"/><text x="28" y="67">served</text>',
        '<rect class="throttled" x="90" y="57" width="12" height="12" rx="2"/><text x="108" y="67">throttled</text>',
    ]
    for at, result in enumerate(results):
        lines += panel(result, series[result.name], LEFT + at * (PANEL_WIDTH + GAP), most, seconds, at == 0)
    return "\n".join([*lines, "</svg>", ""])


def panel(result, found, left, most, seconds, labelled):
    top, bottom = HEAD, HEAD + PANEL_HEIGHT
    lines = [f'<text class="panel" x="{left}" y="{top - 8}">{PANELS[result.name]}</text>']
    for part in range(5):
        y = bottom - part * PANEL_HEIGHT / 4
        kind = "axis" if part == 0 else "grid"
        lines.append(f'<line class="{kind}" x1="{left}" y1="{y:g}" x2="{left + PANEL_WIDTH}" y2="{y:g}"/>')
        if labelled:
            value = f"{most * part / 4:,.0f}".replace(",", " ")
            lines.append(f'<text class="small right" x="{left - 6}" y="{y + 4:g}">{value}</text>')
    for part in range(5 if seconds % 4 == 0 else 6):
        parts = 4 if seconds % 4 == 0 else 5
        x = left + PANEL_WIDTH * part / parts
        lines.append(f'<text class="small middle" x="{x:g}" y="{bottom + 17}">{seconds * part / parts:g} s</text>')
    width = PANEL_WIDTH * BAR / seconds
    for at, (served, throttled) in enumerate(found):
        x, y = left + at * width, bottom
        for kind, rate in (("served", served), ("throttled", throttled)):
            height = rate / most * PANEL_HEIGHT
            y -= height
            if height > 0:
                lines.append(
                    f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{max(width - 0.6, 0.6):.1f}" '
                    f'height="{height:.1f}"/>'
                )
    failed, throttled = (f"{number:,}".replace(",", " ") for number in (result.report["failed"], result.throttled()))
    requests = f"{result.requests():,}".replace(",", " ")
    lines.append(f'<text x="{left}" y="{bottom + 38}">{requests} requests, {throttled} throttled,</text>')
    lines.append(f'<text x="{left}" y="{bottom + 55}">{failed} processes failed</text>')
    return lines
