"""The pictures of RESULTS.md."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

SIZE_INCHES = (8, 3.6)
DOTS_PER_INCH = 110
COLOURS = ("#2563a8", "#c2703d", "#8a8f98", "#4d9a6a", "#8c5aa8")


@dataclass(frozen=True, slots=True)
class Plot:
    """A picture that is not saved yet."""

    file_name: str
    figure: Figure

    def save(self, directory: Path) -> None:
        directory.mkdir(exist_ok=True)
        self.figure.savefig(directory / self.file_name, dpi=DOTS_PER_INCH)


def bars(
    name: str, title: str, unit: str, figures: Mapping[str, Mapping[str, float]], *, is_log: bool = False
) -> Plot:
    """Groups of bars: `{"32 at once": {"service": 510.0, "plain": 12.0}}`."""
    kinds = list(dict.fromkeys(kind for group in figures.values() for kind in group))
    width = 0.8 / len(kinds)
    figure, axes = _empty()
    for index, kind in enumerate(kinds):
        places = [place + index * width for place, group in enumerate(figures.values()) if kind in group]
        heights = [group[kind] for group in figures.values() if kind in group]
        drawn = axes.bar(places, heights, width * 0.92, label=kind, color=COLOURS[index % len(COLOURS)])
        axes.bar_label(drawn, fmt="{:.3g}", fontsize=8)
    axes.set_xticks([place + 0.4 - width / 2 for place in range(len(figures))], list(figures))
    axes.set_ylabel(unit)
    if is_log:
        axes.set_yscale("log")
    axes.margins(y=0.12)
    return _finish(name, title, figure, axes)


def distributions(
    name: str, title: str, unit: str, curves: Mapping[str, Sequence[float]], limits: Sequence[float]
) -> Plot:
    """The share of values up to each value, one curve a kind, with dotted lines at `limits`."""
    figure, axes = _empty()
    for kind, values in curves.items():
        if values:
            axes.ecdf(values, label=kind)
    for limit in limits:
        axes.axvline(limit, color="#8a8f98", linestyle=":", linewidth=1)
    axes.set_xlim(0, max(limits) * 1.5)
    axes.set_xlabel(unit)
    axes.set_ylabel("share of the finishes")
    return _finish(name, title, figure, axes)


def _empty() -> tuple[Figure, Axes]:
    figure = Figure(figsize=SIZE_INCHES, layout="constrained")
    return figure, figure.subplots()


def _finish(name: str, title: str, figure: Figure, axes: Axes) -> Plot:
    axes.set_title(title, fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    if len(axes.get_legend_handles_labels()[0]) > 1:
        axes.legend(fontsize=8, frameon=False)
    return Plot(f"{name}.png", figure)
