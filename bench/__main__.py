"""The command line: `python -m bench` measures everything and writes RESULTS.md."""

import argparse
import signal
import sys
import time
from pathlib import Path

from bench import (
    first_release,
    freshness,
    outputs,
    reads,
    relay,
    slots,
    start,
    submits,
    uploads,
    watch,
    webhook,
)
from bench.report import QUICK, Findings, Scale, as_markdown

QUESTIONS = {
    "first_release": first_release.measure,
    "reads": reads.measure,
    "submits": submits.measure,
    "slots": slots.measure,
    "relay": relay.measure,
    "uploads": uploads.measure,
    "outputs": outputs.measure,
    "watch": watch.measure,
    "freshness": freshness.measure,
    "webhook": webhook.measure,
    "start": start.measure,
}
RESULTS = Path(__file__).parent / "RESULTS.md"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure the service.")
    parser.add_argument("questions", nargs="*", metavar="question", help=f"of {', '.join(QUESTIONS)}")
    parser.add_argument("--quick", action="store_true", help="two minutes, less exact")
    options = parser.parse_args()
    if unknown := set(options.questions) - set(QUESTIONS):
        parser.error(f"no such question: {', '.join(sorted(unknown))}")
    # The programs that were started are stopped too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    started = time.monotonic()
    scale = QUICK if options.quick else Scale()
    findings = [_ask(name, scale) for name in options.questions or QUESTIONS]
    page = as_markdown(findings, (time.monotonic() - started) / 60)
    print(page)
    # What is published is one whole run.
    if not options.quick and not options.questions:
        RESULTS.write_text(page)
        for found in findings:
            found.plot.save(RESULTS.parent / "plots")


def _ask(name: str, scale: Scale) -> Findings:
    print(f"{name} …", end=" ", file=sys.stderr, flush=True)
    started = time.monotonic()
    findings = QUESTIONS[name](scale)
    print(f"{time.monotonic() - started:.0f} s", file=sys.stderr)
    return findings


if __name__ == "__main__":
    main()
