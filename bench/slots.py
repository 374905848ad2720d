"""Whether an account's few slots are kept full while many tasks wait."""

import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench import plots, servers
from bench.calls import all_tasks, request_json, submit
from bench.load import Load, run_load
from bench.report import Findings, Goal, Scale, Table

RUN_LATENCY_S = 0.3
SLOTS = 2
# By run time: how many tasks, and how much longer than the ideal time they may take.
TASKS = {1.0: 40, 10.0: 20}
LONGEST = {1.0: 1.25, 10.0: 1.05}
REFUSED_PER_ACCEPTED = 0.1
QUICK_TASKS = 10
POLL_S = 0.5
DONE = "/tasks?status=SUCCESS&limit=200"


@dataclass(frozen=True, slots=True)
class Queue:
    """What became of tasks that waited for a few slots; times in seconds."""

    run_s: float
    tasks: int
    took_s: float
    refused: int
    is_in_order: bool

    @property
    def against_ideal(self) -> float:
        return self.took_s / (self.run_s * self.tasks / SLOTS)


def measure(scale: Scale) -> Findings:
    return _findings(
        [_queue(run_s, QUICK_TASKS if scale.is_quick else tasks) for run_s, tasks in TASKS.items()]
    )


def _queue(run_s: float, tasks: int) -> Queue:
    """Tasks that are submitted at once to an account with few slots, until all have ended."""
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        upstream = stack.enter_context(
            servers.simulator(
                slots=SLOTS, queue_time=0, run_time=run_s, run_latency=RUN_LATENCY_S, queue_status="hidden"
            )
        )
        service = stack.enter_context(servers.service(upstream, Path(directory, "tasks.db")))
        run_load(Load(service.url, [submit()], connections=tasks, count=tasks))
        while len(request_json(service, ("GET", DONE, None))["tasks"]) < tasks:
            time.sleep(POLL_S)
        ran = request_json(upstream, ("GET", "/simulator/tasks", None))
        submitted = [task["runninghub_task_id"] for task in reversed(all_tasks(service))]
        return Queue(
            run_s=run_s,
            tasks=tasks,
            took_s=max(task["finished_at"] for task in ran) - min(task["started_at"] for task in ran),
            refused=request_json(upstream, ("GET", "/simulator/counters", None))["runs_refused"],
            is_in_order=submitted == [task["taskId"] for task in ran],
        )


def _findings(queues: list[Queue]) -> Findings:
    goals = []
    for queue in queues:
        name = f"{queue.tasks} tasks of {queue.run_s:g} s on {SLOTS} slots"
        goals += [
            Goal.at_most(
                f"{name}, against the ideal time", queue.against_ideal, LONGEST[queue.run_s], "times"
            ),
            Goal.at_most(
                f"{name}, refused paid calls",
                queue.refused,
                REFUSED_PER_ACCEPTED * queue.tasks,
                "calls",
            ),
            Goal.at_least(f"{name}, started in order", float(queue.is_in_order), 1, "(1: yes)"),
        ]
    return Findings(
        title="Slots kept full",
        method=f"RunningHub has {SLOTS} slots, does not tell so, and responds to a run after"
        f" {RUN_LATENCY_S:g} s. The tasks are submitted at once to a fresh service, and the"
        " time from the first start to the last finish is compared with slots that are never free: run time"
        " times tasks, divided by the slots. A slot is taken when the call arrives and not when RunningHub"
        " responds, so that the time until then is no part of the ideal.",
        goals=goals,
        tables=[
            Table(
                ["slots kept full", "took", "ideal", "refused", "in order"],
                [
                    [
                        f"{queue.tasks} tasks of {queue.run_s:g} s",
                        f"{queue.took_s:.1f} s",
                        f"{queue.took_s / queue.against_ideal:.0f} s",
                        f"{queue.refused}",
                        "yes" if queue.is_in_order else "no",
                    ]
                    for queue in queues
                ],
            ),
        ],
        plot=plots.bars(
            "slots",
            f"Tasks on {SLOTS} slots",
            "times the ideal time",
            {f"{queue.run_s:g} s": {"took": queue.against_ideal} for queue in queues},
        ),
    )
