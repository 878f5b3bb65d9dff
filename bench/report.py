"""From the raw numbers (RESULTS.json) to the tables (RESULTS.md). Pure; measures nothing."""

from __future__ import annotations

from statistics import median, quantiles

from targets import BUSY_TARGET, EXTRA, STARTUP, TARGETS, Target, reached


def render(data: dict) -> str:
    """Return the whole of RESULTS.md."""
    parts = [
        "# Results",
        "",
        (
            "Written by `bench/run.py`; the raw numbers of every round stand in `RESULTS.json` beside it. Judge ratios, "
            "not microseconds: baselines ran interleaved on the same machine, and their work was checked (see README)."
        ),
        "",
    ]
    for name, writer in (
        ("requests", _requests),
        ("busy", _busy),
        ("memory", _memory),
        ("micro", _micro),
        ("storm", _storm),
    ):
        if name in data:
            parts += [*writer(data[name]), ""]
    return "\n".join(parts).rstrip() + "\n"


def _ran(meta: dict) -> list[str]:
    machine = f"{meta['cores']} cores of {meta['cpu']}, {meta['system']}, Python {meta['python']}"
    versions = ", ".join(f"{name} {version}" for name, version in meta["versions"].items())
    return [
        (
            f"`{meta['command']}` · {meta['date']} · commit {meta['commit']} · {machine} · load average at the start "
            f"{meta['load']:.1f}  "
        ),
        f"{versions}",
        "",
    ]


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    return [
        "| " + " | ".join(head) + " |",
        "| " + " | ".join("---" for _ in head) + " |",
        *("| " + " | ".join(row) + " |" for row in rows),
    ]


# CPU per request, start-up, delivery


def whole(rounds: list[dict]) -> list[dict]:
    """Return the rounds that ran to their end."""
    return [each for each in rounds if "failed" not in each]


def added(variants: dict, name: str, route: str) -> list[float]:
    """Return µs of CPU a request over bare in the same round, one number a round."""
    pairs = zip(variants[name], variants["bare"], strict=False)
    return [
        (_each(ours, route) - _each(bare, route)) * 1e6
        for ours, bare in pairs
        if "failed" not in ours and "failed" not in bare
    ]


def _each(one: dict, route: str) -> float:
    return one["routes"][route]["cpu"] / one["routes"][route]["sent"]


def _requests(part: dict) -> list[str]:
    lines = ["## CPU per request, start-up, delivery", ""]
    rows = [row for app, variants in part["apps"].items() for row in _target_rows(app, variants)]
    if rows:
        head = ["app", "what", "of", "over", "ratio", "quarters", "target", "reached"]
        lines += ["### Ratios to reach", "", *_table(head, rows), ""]
    for app, variants in part["apps"].items():
        lines += [f"### {app}", "", *_ran(part["metas"][app]), *_variant_table(variants), ""]
    return lines[:-1]


def _target_rows(app: str, variants: dict) -> list[list[str]]:
    rows = []
    for target in TARGETS:
        if not all(whole(variants.get(name, [])) for name in (target.variant, target.baseline, "bare")):
            continue
        if target.what == STARTUP:
            rows.append(
                _row(
                    app,
                    STARTUP,
                    target,
                    *([_startups(variants, n) for n in (target.variant, target.baseline)]),
                    variants,
                )
            )
            continue
        for route in _routes(variants):
            if route != "/error":
                ours, theirs = (added(variants, name, route) for name in (target.variant, target.baseline))
                rows.append(_row(app, f"{EXTRA}, {route}", target, ours, theirs, variants))
    return rows


def _startups(variants: dict, name: str) -> list[float]:
    return [each["startup_cpu"] for each in whole(variants[name])]


def _row(
    app: str, what: str, target: Target, ours: list[float], theirs: list[float], variants: dict
) -> list[str]:
    ratio = median(ours) / median(theirs)
    each = [a / b for a, b in zip(ours, theirs, strict=False) if b]
    answer = "yes" if reached(ratio, target) else "**no**"
    if answer != "yes" and target.held is not None and ratio <= target.held:
        answer = f"no, but ≤ {target.held:g} holds"
    incomplete = sum(
        bool(r.get("faults", True)) for n in (target.variant, target.baseline) for r in variants[n]
    )
    if incomplete:
        answer += f", but {incomplete} rounds incomplete"
    sign = "≥" if target.at_least else "≤"
    return [
        app,
        what,
        target.variant,
        target.baseline,
        f"{ratio:.2f}",
        _quarters(each),
        f"{sign} {target.ratio:g}",
        answer,
    ]


def _quarters(values: list[float]) -> str:
    if len(values) < 3:
        return "–"
    low, _, high = quantiles(values, n=4, method="inclusive")
    return f"{low:.2f}–{high:.2f}"


def _routes(variants: dict) -> list[str]:
    return next((list(each["routes"]) for rounds in variants.values() for each in whole(rounds)), [])


def _variant_table(variants: dict) -> list[str]:
    routes = _routes(variants)
    head = ["variant", "rounds", *(f"{r} added µs" for r in routes), *(f"{r} p99 ms" for r in routes)]
    head += ["start-up CPU s", "exit CPU s", "delivered", "faults"]
    rows = []
    for name, rounds in variants.items():
        good = whole(rounds)
        if not good:
            rows.append([name, "0", *["–"] * (len(head) - 3), rounds[0]["failed"][:60].replace("\n", " ")])
            continue
        bare = name == "bare"
        cpu = [
            f"({median([_each(each, r) for each in good]) * 1e6:.0f} in all)"
            if bare
            else f"{median(added(variants, name, r)):.0f}"
            for r in routes
        ]
        p99 = [f"{median([each['routes'][r]['p99_ms'] for each in good]):.1f}" for r in routes]
        rows.append(
            [
                name,
                str(len(good)),
                *cpu,
                *p99,
                f"{median([each['startup_cpu'] for each in good]):.2f}",
                f"{median([each['exit_cpu'] for each in good]):.2f}",
                _delivered(name, good),
                _faults(rounds),
            ]
        )
    return _table(head, rows)


def _delivered(name: str, good: list[dict]) -> str:
    if "@" not in name:
        return "–"
    got, sent = (
        sum(values)
        for values in zip(*((e["sink"].get("transaction", 0), e["sent"]) for e in good), strict=True)
    )
    expected = sent * float(name.partition("@")[2])
    return f"{got / expected:.3f} ({got} of {expected:.0f})"


def _faults(rounds: list[dict]) -> str:
    found = [fault for each in rounds for fault in each.get("faults", [each.get("failed", "")[:60]])]
    return "none" if not found else f"{len(found)}: {found[0]}".replace("\n", " ")


# The other parts


def _busy(part: dict) -> list[str]:
    lines = ["## Transactions that leave while the main thread is busy", "", *_ran(part["meta"])]
    climbs = part["variants"]
    rows = []
    for name, runs in climbs.items():
        held = median([run["per_second"] for run in runs])
        left = median([run["most_left"] for run in runs])
        rows.append([name, str(len(runs)), f"{held:.0f}", f"{left:.0f}"])
    head = [
        "variant",
        "climbs",
        "transactions/s, none lost, none piled up",
        "most that left in a second, losing or not",
    ]
    lines += _table(head, rows)
    ours, theirs = (climbs.get(name) for name in (BUSY_TARGET.variant, BUSY_TARGET.baseline))
    if ours and theirs:
        top, base = (median([run["per_second"] for run in runs]) for runs in (ours, theirs))
        ratio = top / base if base else float("inf")
        answer = "reached" if reached(ratio, BUSY_TARGET) else "**not reached**"
        lines += ["", f"Ratio {ratio:.1f}, to reach ≥ {BUSY_TARGET.ratio:g}: {answer}."]
    return lines


def _memory(part: dict) -> list[str]:
    lines = ["## Memory", "", *_ran(part["meta"])]
    head = [
        "app",
        "variant",
        "requests",
        "RSS MiB",
        "PSS MiB",
        "growth after the first tenth, MiB",
        "transactions",
        "faults",
    ]
    rows = []
    for app, variants in part["apps"].items():
        for name, one in variants.items():
            if "failed" in one:
                rows.append([app, name, *["–"] * 5, one["failed"][:60].replace("\n", " ")])
                continue
            tenth, last = one["samples"][1], one["samples"][-1]
            growth = (last["rss"] - tenth["rss"]) / 1024
            sizes = [f"{last[size] / 1024:.1f}" for size in ("rss", "pss")]
            rows.append(
                [
                    app,
                    name,
                    str(last["requests"]),
                    *sizes,
                    f"{growth:+.1f}",
                    str(one["transactions"]),
                    "; ".join(one["faults"]) or "none",
                ]
            )
    return [*lines, *_table(head, rows)]


def _micro(part: dict) -> list[str]:
    lines = ["## Micro-benchmarks", "", *_ran(part["meta"])]
    rows = []
    for file, one in part["files"].items():
        if "failed" in one:
            rows.append([file, one["failed"][-80:].replace("\n", " "), *["–"] * 5, "**failed**"])
        for row in one["rows"]:
            target = row["target"]
            at_least = bool(row.get("at_least"))
            answer = "–"
            if target is not None:
                answer = "yes" if reached(row["ratio"], Target("", "", "", target, at_least)) else "**no**"
            goal = "–" if target is None else f"{'≥' if at_least else '≤'} {target:g}"
            values = [f"{row[key]:.3g} {row['unit']}" for key in ("value", "baseline_value")]
            rows.append([file, row["what"], *values, row["baseline"], f"{row['ratio']:.3f}", goal, answer])
    return [
        *lines,
        *_table(["file", "what", "value", "baseline's", "baseline", "ratio", "target", "reached"], rows),
    ]


def _storm(part: dict) -> list[str]:
    apps = ((part["metas"][app], lines) for app, lines in part["apps"].items())
    return [
        "## A storm of errors",
        *(line for about, lines in apps for line in ("", *_ran(about), *lines[:-1])),
    ]
