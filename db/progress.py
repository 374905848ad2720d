"""How far a command is: a bar on a terminal, lines anywhere else."""

import time
from collections.abc import Callable
from typing import TextIO

WIDTH = 30
REDRAW_S = 0.1
LINE_S = 10.0


class Progress:
    """The steps of a command, one after the other, each with the number of rows that it has.

    On a terminal the step's line is drawn anew; elsewhere, in a log, there is a line when a step begins,
    every ten seconds, and when it has ended.
    """

    def __init__(self, output: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._output = output
        self._clock = clock
        self._is_terminal = output.isatty()
        self._pause_s = REDRAW_S if self._is_terminal else LINE_S
        self._step = ""
        self._rows = self._total = 0
        self._began = self._next = 0.0

    def begin(self, step: str, total: int = 0) -> None:
        self._step, self._rows, self._total = step, 0, total
        self._began = self._clock()
        self._show()

    def advance(self) -> None:
        """One more row is done."""
        self._rows += 1
        if self._clock() >= self._next:
            self._show()

    def end(self) -> None:
        """All rows of the step are done."""
        self._rows = self._total
        if self._total or self._is_terminal:
            self._show()
        self.clear()

    def clear(self) -> None:
        """Whatever is printed next begins on a line of its own, also after a step that failed."""
        if self._step and self._is_terminal:
            self._write("\n")
        self._step = ""

    def _show(self) -> None:
        self._next = self._clock() + self._pause_s
        line = self._step
        if self._total:
            line = f"{line}: {self._rows:,} of {self._total:,} rows"
        self._write(f"\r\x1b[K{self._bar()}{line}{self._time_left()}" if self._is_terminal else f"{line}\n")

    def _bar(self) -> str:
        if not self._total:
            return ""
        done = WIDTH * self._rows // self._total
        return f"[{'#' * done}{'.' * (WIDTH - done)}] {100 * self._rows // self._total:3}% "

    def _time_left(self) -> str:
        if not 0 < self._rows < self._total:
            return ""
        seconds = (self._clock() - self._began) * (self._total - self._rows) / self._rows
        return f", {seconds:.0f} s left"

    def _write(self, text: str) -> None:
        self._output.write(text)
        self._output.flush()
