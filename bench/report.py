"""What a section's measurement comes to, and how RESULTS.md shows it."""

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from bench.plots import Plot

PACKAGES = ("fastapi", "uvicorn", "pydantic", "httpx", "httpx-aiohttp", "aiosqlite")


@dataclass(frozen=True, slots=True)
class Goal:
    """One row of the table of goals."""

    what: str
    measured: str
    wanted: str
    is_met: bool

    @classmethod
    def at_least(cls, what: str, measured: float, wanted: float, unit: str = "times") -> "Goal":
        return cls(what, f"{measured:.3g} {unit}", f"at least {wanted:g} {unit}", measured >= wanted)

    @classmethod
    def at_most(cls, what: str, measured: float, wanted: float, unit: str) -> "Goal":
        return cls(what, f"{measured:.3g} {unit}", f"at most {wanted:g} {unit}", measured <= wanted)


@dataclass(frozen=True, slots=True)
class Table:
    """Figures beside one another; the first column names the row."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def as_markdown(self) -> str:
        lines = [self.columns, ["---"] * len(self.columns), *self.rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)


@dataclass(frozen=True, slots=True)
class Findings:
    """A section with all that was measured for it."""

    title: str
    method: str
    goals: list[Goal]
    tables: list[Table]
    plot: Plot


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured; `quick` figures are not for publishing."""

    rounds: int = 5
    seconds: float = 1.0
    rows: int = 1_000_000
    polled: Sequence[int] = (1_000, 10_000)
    polling_s: float = 40.0
    unfinished: int = 100_000
    is_quick: bool = False


QUICK = Scale(
    rounds=2,
    seconds=0.5,
    rows=100_000,
    polled=(1_000,),
    polling_s=12.0,
    unfinished=10_000,
    is_quick=True,
)


@dataclass(frozen=True, slots=True)
class Rounds:
    """Figures of things that were measured in turn, round by round."""

    by_name: dict[str, list[float]] = field(default_factory=dict)

    def note(self, name: str, figure: float) -> None:
        self.by_name.setdefault(name, []).append(figure)

    def measure(self, rounds: int, measures: Mapping[str, Callable[[], float]]) -> None:
        """Take each measure once a round, so that a noisy moment meets all of them."""
        for _ in range(rounds):
            for name, measure in measures.items():
                self.note(name, measure())

    def median(self, name: str) -> float:
        return median(self.by_name[name])

    def ratio(self, name: str, to: str) -> float:
        """The median of the rounds' ratios."""
        return median(a / b for a, b in zip(self.by_name[name], self.by_name[to], strict=True))

    def difference(self, name: str, to: str) -> float:
        """The median of the rounds' differences."""
        return median(a - b for a, b in zip(self.by_name[name], self.by_name[to], strict=True))


@dataclass(frozen=True, slots=True)
class Section:
    """A part of RESULTS.md, as it is stored beside it: sections can be measured one at a time."""

    goals: list[dict[str, Any]]
    text: str
    minutes: float

    @classmethod
    def of(cls, found: Findings, minutes: float) -> "Section":
        return cls([asdict(goal) for goal in found.goals], _text(found), minutes)


def as_markdown(sections: Sequence[Section]) -> str:
    """The whole page."""
    goals = Table(
        ["what", "measured", "wanted", "met"],
        [
            [goal["what"], goal["measured"], goal["wanted"], "yes" if goal["is_met"] else "**no**"]
            for section in sections
            for goal in section.goals
        ],
    )
    texts = [section.text for section in sections]
    introduction = _introduction(sum(section.minutes for section in sections))
    return "\n\n".join(["# Measured", introduction, goals.as_markdown(), *texts]) + "\n"


def _introduction(minutes: float) -> str:
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return (
        f"Written by `make bench` in {minutes:.1f} minutes, section by section. Everything ran on one machine"
        f" over loopback ({cpu_name()}, {psutil.cpu_count()} cores shared by the service, its upstream, the"
        f" load and other programs; Python {platform.python_version()}; {packages}). On a shared machine only"
        " ratios count: what is compared was measured in turn, round by round, and a ratio is the median of"
        " the rounds' ratios. Times and figures a second are those of a busy machine.\n\n"
        "Every server is one uvicorn process with the same flags (uvloop, httptools, no access log)."
        " **plain** is `bench/plain/`: the same routes with a new httpx client and a new database connection"
        " for each call, and one polling coroutine per task. **bare** and **relay only** are the routes of"
        " `bench/floor.py`. **direct** is the RunningHub simulator without a service between. The service"
        " runs on its default settings unless a section says otherwise."
    )


def cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _text(found: Findings) -> str:
    tables = [table.as_markdown() for table in found.tables]
    return "\n\n".join(
        [f"## {found.title}", found.method, *tables, f"![{found.title}](plots/{found.plot.file_name})"]
    )
