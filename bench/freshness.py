"""Freshness by the schedule alone, in simulated time: how late a finish is detected, after how many polls."""

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
POLLS_SHORT, POLLS_LONG = 9, 25
# For apps that run for minutes: the default polls at least every 15 s.
LONGEST_WAIT_S = 60


@dataclass(frozen=True, slots=True)
class SimulatedTasks:
    """What became of the tasks of one usual run time."""

    lags: Sequence[float]
    """Between the finish and the poll that detected it, in per cent of the run time."""
    polls: Sequence[int]

    def lag(self, percent: int) -> float:
        return quantiles(self.lags, n=100)[percent - 1]


def measure(scale: Scale) -> Findings:
    random.seed(1)
    tasks = TASKS // 10 if scale.is_quick else TASKS
    default, patient = (
        Settings.model_construct(),
        Settings.model_construct(poll_interval_max_s=LONGEST_WAIT_S),
    )

    def poll_all(settings: Settings, *, with_history: bool) -> dict[int, SimulatedTasks]:
        return {usual_s: _poll_many(usual_s, tasks, settings, with_history) for usual_s in RUN_TIMES_S}

    return _findings(
        poll_all(default, with_history=True),
        poll_all(default, with_history=False),
        poll_all(patient, with_history=True),
        tasks,
    )


def _poll_many(usual_s: float, tasks: int, settings: Settings, with_history: bool) -> SimulatedTasks:
    polled = [_poll(_run_time(usual_s), _history(usual_s, with_history), settings) for _ in range(tasks)]
    return SimulatedTasks([lag for lag, _ in polled], [polls for _, polls in polled])


def _run_time(usual_s: float) -> float:
    return usual_s * random.uniform(1 - SPREAD, 1 + SPREAD)


def _history(usual_s: float, with_history: bool) -> list[float]:
    return [_run_time(usual_s) for _ in range(LATEST)] if with_history else []


def _poll(run_s: float, history: Sequence[float], settings: Settings) -> tuple[float, int]:
    """One task's lag in per cent of its run time, and the number of polls."""
    now_s, polls = settings.poll_interval_s, 1
    while now_s < run_s:
        now_s += next_delay_s(
            now_s, history, first_s=settings.poll_interval_s, longest_s=settings.poll_interval_max_s
        )
        polls += 1
    return (now_s - run_s) / run_s * 100, polls


def _findings(
    known: dict[int, SimulatedTasks],
    unknown: dict[int, SimulatedTasks],
    patient: dict[int, SimulatedTasks],
    tasks: int,
) -> Findings:
    short = [polled for usual_s, polled in known.items() if usual_s <= SHORT_S]
    return Findings(
        title="Freshness, by the schedule alone",
        method=f"{tasks:,} simulated tasks for each usual run time, spread by ±{SPREAD:.0%}, polled"
        f" by `tasks/poll_schedule.py` with default settings: once where the app has {LATEST} earlier run"
        " times, once where it has none. Nothing but the waits plays a part; the section before has the real"
        " thing. `POLL_INTERVAL_MAX_S` is 15 by default, so that ten minutes take 40 polls or more;"
        f" the last table has it at {LONGEST_WAIT_S}.",
        goals=[
            Goal.at_most(
                "half of the finishes seen within, of the run time, worst of 5 s to 10 min",
                max(polled.lag(50) for polled in known.values()),
                HALF_WITHIN,
                "%",
            ),
            Goal.at_most(
                "95 % of the finishes seen within, of the run time, worst of 5 s to 10 min",
                max(polled.lag(95) for polled in known.values()),
                MOST_WITHIN,
                "%",
            ),
            Goal.at_most(
                "polls of a task, run times of 5 to 25 s",
                max(max(polled.polls) for polled in short),
                POLLS_SHORT,
                "polls",
            ),
            *(
                Goal.at_most(
                    f"polls of a task, run times of 10 min{setting}",
                    max(polled[LONG_S].polls),
                    POLLS_LONG,
                    "polls",
                )
                for setting, polled in {
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
            {f"{usual_s} s": polled.lags for usual_s, polled in known.items()},
            [HALF_WITHIN, MOST_WITHIN],
        ),
    )


def _table(history: str, by_run_time: dict[int, SimulatedTasks]) -> Table:
    return Table(
        [
            f"earlier run times {history}",
            "half seen within",
            "95 % within",
            "polls: mean",
            "median",
            "most",
        ],
        [
            [
                f"{usual_s} s",
                f"{polled.lag(50):.1f} %",
                f"{polled.lag(95):.1f} %",
                f"{mean(polled.polls):.1f}",
                f"{median(polled.polls):.0f}",
                f"{max(polled.polls)}",
            ]
            for usual_s, polled in by_run_time.items()
        ],
    )
