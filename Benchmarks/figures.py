"""Samples, percentiles, the bars, and the table that shows them."""

import json
import math
from pathlib import Path

MIB = 1 << 20

# In boots (the p50 of bare QEMU in the same run).
BARS_IN_BOOTS = {"run": 1.25, "container": 0.1, "exec": 0.025, "remove": 0.25, "stats": 0.03}


class Samples:
    """Seconds in, milliseconds out."""

    def __init__(self, name: str, unit: str):
        self.name, self.unit, self.values = name, unit, []

    def add(self, seconds: float):
        self.values.append(seconds * 1000)

    def percentile(self, p: float) -> float:
        """Nearest rank."""
        ordered = sorted(self.values)
        return ordered[max(0, math.ceil(p / 100 * len(ordered)) - 1)]

    def summary(self) -> dict:
        shown = {f"p{p}": round(self.percentile(p), 3) for p in (50, 90, 99)}
        return {**shown, "min": round(min(self.values), 3), "max": round(max(self.values), 3), "n": len(self.values)}


class Figures:
    def __init__(self, machine: dict):
        self.machine = machine
        self.accelerator = "unknown"
        self.rows: list[dict] = []
        self._unit: Samples | None = None

    @property
    def unit(self) -> Samples:
        return self._unit

    @unit.setter
    def unit(self, boot: Samples):
        self._unit = boot
        self.add(boot.name, boot.unit, boot.percentile(50), summary=boot.summary())

    def add(self, name, unit, value, bar=None, at_most=True, ratio=None, bar_unit=None, summary=None):
        """One row. `value` (or `ratio`, where the bar is one) is held against the bar."""
        row = {"name": name, "unit": unit, "value": round(value, 3)}
        if summary:
            row["percentiles"] = summary
        if ratio is not None:
            row["ratio"] = round(ratio, 4)
        if bar is not None:
            held = ratio if ratio is not None else value
            row["bar"] = f"{'at most' if at_most else 'at least'} {bar} {bar_unit or unit}".rstrip()
            row["verdict"] = "pass" if (held <= bar if at_most else held >= bar) else "FALLS SHORT"
        self.rows.append(row)

    def version(self, samples: Samples):
        self.add(f"{samples.name}, p50", "ms", samples.percentile(50), 0.5, summary=samples.summary())
        self.add(f"{samples.name}, p99", "ms", samples.percentile(99), 2)

    def pods(self, samples: dict[str, Samples]):
        boot = self.unit.percentile(50)
        for key, one in samples.items():
            p50 = one.percentile(50)
            self.add(one.name, one.unit, p50, BARS_IN_BOOTS.get(key), ratio=p50 / boot, bar_unit="boot",
                     summary=one.summary())  # fmt: skip

    def ten_containers(self, samples: dict[int, Samples]):
        second, tenth = (samples[count].percentile(50) for count in (2, 10))
        boot = self.unit.percentile(50)
        self.add(samples[2].name, "ms", second, BARS_IN_BOOTS["container"], ratio=second / boot, bar_unit="boot",
                 summary=samples[2].summary())  # fmt: skip
        self.add(samples[10].name, "ms", tenth, 1, ratio=tenth / second, bar_unit="of container 2",
                 summary=samples[10].summary())  # fmt: skip

    def sessions(self, measured: dict):
        first = measured["first"]
        p50 = first.percentile(50)
        self.add(first.name, "ms", p50, 0.03, ratio=p50 / self.unit.percentile(50), bar_unit="boot", summary=first.summary())
        self.add("A bare vsock stream out of a guest", "MB/s", measured["vsock"])
        for name, key in (("Exec's standard output", "exec"), ("Port-forward, pod to client", "port-forward")):
            # At least 100 MB/s, or 0.8 of the bare stream where that is less.
            bar = round(min(100, 0.8 * measured["vsock"]), 1)
            self.add(name, "MB/s", measured[key], bar, at_most=False)

    def network(self, measured: dict):
        """The bar of a start: 1.1 of the slower of the two that it has side by side, and 0.05 boot."""
        for key in ("without", "add"):
            self.add(measured[key].name, "ms", measured[key].percentile(50), summary=measured[key].summary())
        slower = max(measured[key].percentile(50) for key in ("without", "add"))
        bar = round(1.1 * slower + 0.05 * self.unit.percentile(50), 1)
        run = measured["run"]
        self.add(run.name, "ms", run.percentile(50), bar, summary=run.summary())
        for name in ("pod to host", "host to pod"):
            speeds = measured[name]
            self.add(f"TCP, {name}: QEMU and tap by hand", "MB/s", speeds["bare"])
            self.add(f"TCP, {name}", "MB/s", speeds["pod"], 0.95, at_most=False,
                     ratio=speeds["pod"] / speeds["bare"], bar_unit="of by hand")  # fmt: skip

    def death(self, samples: Samples):
        self.add(samples.name, "ms", samples.percentile(50), 1000, summary=samples.summary())

    def pull(self, measured: dict):
        self.add("gunzip of the same layers, one after the other", "MB/s", measured["gunzip"])
        self.add("Pull and convert, unpacked bytes", "MB/s", measured["pull"], 0.8, at_most=False,
                 ratio=measured["pull"] / measured["gunzip"], bar_unit="of gunzip")  # fmt: skip

    def files(self, rows: list[tuple]):
        for name, unit, value, ratio in rows:
            if ratio is None:
                self.add(name, unit, value)
            else:
                self.add(name, unit, value, 0.8, at_most=False, ratio=ratio, bar_unit="of the raw disk")

    def memory(self, measured: dict):
        bars = {
            "Agent binary, stripped": 20,
            "Agent's resident memory at idle": 20,
            "Guest memory in use with one sleeping container": 64,
            "Daemon PSS with 10 pods": 40,
        }
        for name, size in measured.items():
            self.add(name, "MiB", size / MIB, bars.get(name))

    def returned(self, measured: dict[str, float]):
        for name, value in measured.items():
            self.add(name, "s" if name.endswith("time") else "MiB", value if name.endswith("time") else value / MIB)

    def overhead(self, sizes: dict[str, int], idle: float):
        self.memory(sizes)
        self.add("Overhead of a pod, its containers idle: CPU", "mCPU", idle * 1000)

    def write(self, path: Path):
        path.parent.mkdir(parents=True, exist_ok=True)
        document = {"machine": self.machine, "accelerator": self.accelerator, "figures": self.rows}
        path.write_text(json.dumps(document, indent=2) + "\n")

    def table(self) -> str:
        return table({"machine": self.machine, "accelerator": self.accelerator, "figures": self.rows})


HEADER = ("figure", "value", "p90", "p99", "ratio", "bar", "")


def cells(row: dict) -> tuple[str, ...]:
    shown = row.get("percentiles", {})
    ratio = "" if row.get("ratio") is None else f"{row['ratio']:.3f}"
    return (
        row["name"], f"{row['value']:g} {row['unit']}", f"{shown['p90']:g}" if shown else "",
        f"{shown['p99']:g}" if shown else "", ratio, row.get("bar", ""), row.get("verdict", ""),
    )  # fmt: skip


def table(document: dict) -> str:
    rows = [HEADER, *(cells(row) for row in document["figures"])]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADER))]
    machine = document["machine"]
    lines = [f"{machine['cpus']} CPUs ({machine['cpu']}), {document['accelerator']}, {machine['rounds']} rounds:"]
    lines += ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    return "\n".join(lines)


def markdown(document: dict) -> str:
    lines = ["| figure | p50 | p90 | ratio | bar | |", "|---|---|---|---|---|---|"]
    for row in document["figures"]:
        name, value, p90, _, ratio, bar, verdict = cells(row)
        lines.append(f"| {name.strip()} | {value} | {p90} | {ratio} | {bar} | {verdict} |")
    return "\n".join(lines)
