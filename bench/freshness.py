"""Freshness by the waits alone, in simulated time: how late a finish is seen, after how many questions."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, median, quantiles

from bench import plots
from bench.report import Findings, Goal, Scale, Table
from config import Settings
from tasks.poll_schedule import next_delay_s
from tasks.run_times import LATEST

RUN_TIMES_S = (5, 10, 25, 60, 120, 600)
SHORT_S, LONG_S = 25, 600
SPREAD = 0.15
TASKS = 5_000
HALF_WITHIN, MOST_WITHIN = 5, 20
QUESTIONS_SHORT, QUESTIONS_LONG = 9, 25
# For apps that run for minutes: the default asks at least every 15 s.
LONGEST_WAIT_S = 60


@dataclass(frozen=True, slots=True)
class Watched:
    """What became of the tasks of one usual run time."""

    lags: Sequence[float]
    """Between the finish and the poll that detected it, in per cent of the run time."""
    questions: Sequence[int]

    def lag(self, percent: int) -> float:
        return quantiles(self.lags, n=100)[percent - 1]


def measure(scale: Scale) -> Findings:
    random.seed(1)
    tasks = TASKS // 10 if scale.is_quick else TASKS
    default, patient = (
        Settings.model_construct(),
        Settings.model_construct(poll_interval_max_s=LONGEST_WAIT_S),
    )

    def watch_all(settings: Settings, *, with_history: bool) -> dict[int, Watched]:
        return {usual_s: _watch_many(usual_s, tasks, settings, with_history) for usual_s in RUN_TIMES_S}

    return _findings(
        watch_all(default, with_history=True),
        watch_all(default, with_history=False),
        watch_all(patient, with_history=True),
        tasks,
    )


def _watch_many(usual_s: float, tasks: int, settings: Settings, with_history: bool) -> Watched:
    watched = [_watch(_run_time(usual_s), _history(usual_s, with_history), settings) for _ in range(tasks)]
    return Watched([lag for lag, _ in watched], [questions for _, questions in watched])


def _run_time(usual_s: float) -> float:
    return usual_s * random.uniform(1 - SPREAD, 1 + SPREAD)


def _history(usual_s: float, with_history: bool) -> list[float]:
    return [_run_time(usual_s) for _ in range(LATEST)] if with_history else []


def _watch(run_s: float, history: Sequence[float], settings: Settings) -> tuple[float, int]:
    """One task's lag in per cent of its run time, and the number of questions."""
    now_s, questions = settings.poll_interval_s, 1
    while now_s < run_s:
        now_s += next_delay_s(
            now_s, history, first_s=settings.poll_interval_s, longest_s=settings.poll_interval_max_s
        )
        questions += 1
    return (now_s - run_s) / run_s * 100, questions


def _findings(
    known: dict[int, Watched], unknown: dict[int, Watched], patient: dict[int, Watched], tasks: int
) -> Findings:
    short = [watched for usual_s, watched in known.items() if usual_s <= SHORT_S]
    return Findings(
        title="Freshness, by the waits alone",
        method=f"{tasks:,} simulated tasks for each usual run time, spread by ±{SPREAD:.0%}, asked about"
        f" after the waits of `waits.py` with default settings: once where the app has {LATEST} earlier run"
        " times, once where it has none. Nothing but the waits plays a part; the section before has the real"
        " thing. `POLL_INTERVAL_MAX_S` is 15 by default, so that ten minutes take 40 questions or more;"
        f" the last table has it at {LONGEST_WAIT_S}.",
        goals=[
            Goal.at_most(
                "half of the finishes seen within, of the run time, worst of 5 s to 10 min",
                max(watched.lag(50) for watched in known.values()),
                HALF_WITHIN,
                "%",
            ),
            Goal.at_most(
                "95 % of the finishes seen within, of the run time, worst of 5 s to 10 min",
                max(watched.lag(95) for watched in known.values()),
                MOST_WITHIN,
                "%",
            ),
            Goal.at_most(
                "questions a task, run times of 5 to 25 s",
                max(max(watched.questions) for watched in short),
                QUESTIONS_SHORT,
                "questions",
            ),
            *(
                Goal.at_most(
                    f"questions a task, run times of 10 min{setting}",
                    max(watched[LONG_S].questions),
                    QUESTIONS_LONG,
                    "questions",
                )
                for setting, watched in {
                    "": known,
                    f", POLL_INTERVAL_MAX_S={LONGEST_WAIT_S}": patient,
                }.items()
            ),
        ],
        tables=[
            _table("known", known),
            _table("unknown", unknown),
            _table(f"known, POLL_INTERVAL_MAX_S={LONGEST_WAIT_S}", patient),
        ],
        plot=plots.distributions(
            "freshness",
            "Finishes seen within, by usual run time (earlier run times known)",
            "lag in % of the run time",
            {f"{usual_s} s": watched.lags for usual_s, watched in known.items()},
            [HALF_WITHIN, MOST_WITHIN],
        ),
    )


def _table(history: str, watched_by_run_time: dict[int, Watched]) -> Table:
    return Table(
        [
            f"earlier run times {history}",
            "half seen within",
            "95 % within",
            "questions: mean",
            "median",
            "most",
        ],
        [
            [
                f"{usual_s} s",
                f"{watched.lag(50):.1f} %",
                f"{watched.lag(95):.1f} %",
                f"{mean(watched.questions):.1f}",
                f"{median(watched.questions):.0f}",
                f"{max(watched.questions)}",
            ]
            for usual_s, watched in watched_by_run_time.items()
        ],
    )
