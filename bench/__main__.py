"""The command line: `python -m bench` measures everything, or some sections, and writes RESULTS.md."""

import argparse
import json
import signal
import sys
import time
from dataclasses import asdict
from pathlib import Path

from bench import (
    attack,
    authentication,
    cluster,
    compat,
    deliveries,
    first_release,
    fresh,
    fresh_app,
    freshness,
    large_tables,
    outputs,
    polling,
    reads,
    relay,
    slots,
    start,
    submits,
    uploads,
    webhook,
)
from bench.report import QUICK, Scale, Section, as_markdown

SECTIONS = {
    "first_release": first_release.measure,
    "reads": reads.measure,
    "submits": submits.measure,
    "authentication": authentication.measure,
    "large_tables": large_tables.measure,
    "fresh": fresh.measure,
    "slots": slots.measure,
    "relay": relay.measure,
    "uploads": uploads.measure,
    "outputs": outputs.measure,
    "polling": polling.measure,
    "freshness": freshness.measure,
    "fresh_app": fresh_app.measure,
    "webhook": webhook.measure,
    "deliveries": deliveries.measure,
    "compat": compat.measure,
    "attack": attack.measure,
    "start": start.measure,
    "cluster": cluster.measure,
}
HERE = Path(__file__).parent
RESULTS, STORED = HERE / "RESULTS.md", HERE / "results"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure the service.")
    parser.add_argument("sections", nargs="*", metavar="section", help=f"of {', '.join(SECTIONS)}")
    parser.add_argument("--quick", action="store_true", help="less exact; nothing is published")
    options = parser.parse_args()
    if unknown := set(options.sections) - set(SECTIONS):
        parser.error(f"no such section: {', '.join(sorted(unknown))}")
    # The programs that were started are stopped too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    for name in options.sections or SECTIONS:
        section = _measure(name, QUICK if options.quick else Scale(), is_published=not options.quick)
        print(as_markdown([section]) if options.quick else section.text)
    if not options.quick:
        stored = [STORED / f"{name}.json" for name in SECTIONS]
        sections = [Section(**json.loads(path.read_text())) for path in stored if path.exists()]
        RESULTS.write_text(as_markdown(sections))


def _measure(name: str, scale: Scale, *, is_published: bool) -> Section:
    print(f"{name} …", end=" ", file=sys.stderr, flush=True)
    started = time.monotonic()
    findings = SECTIONS[name](scale)
    seconds = time.monotonic() - started
    print(f"{seconds:.0f} s", file=sys.stderr)
    section = Section.of(findings, seconds / 60)
    if is_published:
        STORED.mkdir(exist_ok=True)
        (STORED / f"{name}.json").write_text(json.dumps(asdict(section), ensure_ascii=False, indent=1))
        findings.plot.save(HERE / "plots")
    return section


if __name__ == "__main__":
    main()
