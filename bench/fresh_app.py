"""An app that never ran before, in simulated time: many tasks at once, of very different run times."""

import asyncio
import random
from statistics import mean

from bench import plots
from bench.report import Findings, Goal, Scale, Table
from tests.poll_simulation import LONGEST_LATENCY_S, Detection, polled_tasks

TASKS = 2_000
RUN_S = (5.0, 25.0)
# How long it takes until all are submitted.
SUBMIT_S = (1.0, 10.0, 20.0)
HALF_WITHIN, MOST_WITHIN, POLLS = 10, 25, 9


def measure(scale: Scale) -> Findings:
    random.seed(1)
    return _findings({within_s: asyncio.run(polled_tasks(TASKS, RUN_S, within_s)) for within_s in SUBMIT_S})


def _findings(simulated: dict[float, Detection]) -> Findings:
    return Findings(
        title="An app that never ran before",
        method=f"{TASKS:,} tasks of {RUN_S[0]:g} to {RUN_S[1]:g} s of one app at a fresh service, in"
        " simulated time: submitted within 1, 10 and 20 s, polled by `tasks/poll_schedule.py` with default"
        f" settings, each poll up to {LONGEST_LATENCY_S:g} s late. The service learns the app's run times as"
        " tasks end.",
        goals=[
            Goal.at_most(
                "half of the finishes detected within, of the run time, fresh app",
                max(each.lag(50) for each in simulated.values()),
                HALF_WITHIN,
                "%",
            ),
            Goal.at_most(
                "95 % of the finishes detected within, of the run time, fresh app",
                max(each.lag(95) for each in simulated.values()),
                MOST_WITHIN,
                "%",
            ),
            Goal.at_most(
                "polls of a task of a fresh app",
                max(each.most_polls for each in simulated.values()),
                POLLS,
                "polls",
            ),
        ],
        tables=[
            Table(
                ["submitted within", "half detected within", "95 % within", "polls: mean", "most"],
                [
                    [
                        f"{submit_s:g} s",
                        f"{detection.lag(50):.1f} %",
                        f"{detection.lag(95):.1f} %",
                        f"{mean(task.polls for task in detection.tasks):.1f}",
                        f"{detection.most_polls}",
                    ]
                    for submit_s, detection in simulated.items()
                ],
            )
        ],
        plot=plots.distributions(
            "fresh_app",
            "Finishes detected within, by how long the submits took",
            "lag in % of the run time",
            {f"{submit_s:g} s": [task.lag for task in each.tasks] for submit_s, each in simulated.items()},
            [HALF_WITHIN, MOST_WITHIN],
        ),
    )
