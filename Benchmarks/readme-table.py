#!/usr/bin/env python3
"""Puts the figures of build/bench.json into README.md, between its two marks."""

import json
import re
from pathlib import Path

from figures import markdown

ROOT = Path(__file__).resolve().parents[1]


def main():
    document = json.loads((ROOT / "build" / "bench.json").read_text())
    machine = document["machine"]
    text = (
        f"Measured {machine['date']} at {machine['commit']}: {machine['cpus']} CPUs ({machine['cpu']}), accelerator "
        f"{document['accelerator']}, {machine['rounds']} rounds.\n\n{markdown(document)}\n"
    )
    readme = ROOT / "README.md"
    content, count = re.subn(
        r"(<!-- figures -->\n).*(<!-- /figures -->)", lambda m: m[1] + text + m[2], readme.read_text(), flags=re.DOTALL
    )
    if count != 1:
        raise SystemExit("README.md has lost its marks <!-- figures --> and <!-- /figures -->")
    readme.write_text(content)


if __name__ == "__main__":
    main()
