"""How far a command is, on a terminal and in a log."""

import io

import pytest

from db.progress import Progress
from tests.conftest import Clock

ERASE = "\r\x1b[K"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock() -> Clock:
    return Clock()


def progress_on(output: io.StringIO, clock: Clock) -> Progress:
    return Progress(output, lambda: clock.now_ms / 1000)


def test_a_terminal_has_one_line_that_is_drawn_anew(clock: Clock) -> None:
    terminal = Terminal()
    progress = progress_on(terminal, clock)
    progress.begin("copying", 4)
    for _ in range(3):
        clock.go_on(1)
        progress.advance()
    progress.end()
    assert terminal.getvalue().split(ERASE) == [
        "",
        f"[{'.' * 30}]   0% copying: 0 of 4 rows",
        f"[{'#' * 7}{'.' * 23}]  25% copying: 1 of 4 rows, 3 s left",
        f"[{'#' * 15}{'.' * 15}]  50% copying: 2 of 4 rows, 2 s left",
        f"[{'#' * 22}{'.' * 8}]  75% copying: 3 of 4 rows, 1 s left",
        f"[{'#' * 30}] 100% copying: 4 of 4 rows\n",
    ]


def test_a_terminal_is_not_drawn_for_every_row(clock: Clock) -> None:
    terminal = Terminal()
    progress = progress_on(terminal, clock)
    progress.begin("copying", 1000)
    for _ in range(1000):
        progress.advance()
    progress.end()
    assert terminal.getvalue().count(ERASE) == 2


def test_a_log_has_a_line_every_ten_seconds_and_no_bar(clock: Clock) -> None:
    log = io.StringIO()
    progress = progress_on(log, clock)
    progress.begin("reading the source")
    progress.end()
    progress.begin("copying", 1200)
    for _ in range(1200):
        clock.go_on(0.01)
        progress.advance()
    progress.end()
    assert log.getvalue().splitlines() == [
        "reading the source",
        "copying: 0 of 1,200 rows",
        "copying: 1,000 of 1,200 rows",
        "copying: 1,200 of 1,200 rows",
    ]


def test_what_is_printed_after_a_step_that_failed_has_a_line_of_its_own(clock: Clock) -> None:
    terminal = Terminal()
    progress = progress_on(terminal, clock)
    progress.clear()
    progress.begin("reading the source")
    progress.clear()
    progress.clear()
    assert terminal.getvalue() == f"{ERASE}reading the source\n"
