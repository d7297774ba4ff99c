"""Draw an evaluation's trade-offs, for the screen and for print."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, TypeVar

from fl_crafter.evaluation.results import AttackResult, Results, WorstCase
from fl_crafter.files import replacing
from fl_crafter.study.published import CELEBA

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = {
    "none": "black",
    "noise": "tab:gray",
    "projection": "tab:blue",
    "substitution": "tab:orange",
    "transport": "tab:brown",
    "crafter": "tab:red",
    "crafter_simulated": "tab:purple",
    "crafter_published": "tab:pink",
    "crafter_z": "tab:green",
    "advlearn": "tab:cyan",
    "disco": "gold",
    "disco_random": "tab:olive",
    "tiprdc": "navy",
}
FORMATS = ("png", "svg")
UTILITY = "utility: mean ROC-AUC of the cloud model"
PROMISE = "Lower right is better. Not differential privacy."
# by the beginnings of attacks' names, the first that fits; the floors see nothing and have none
KINDS = {
    "hybrid": ("white_box_hybrid",),
    "white box": ("white_box",),
    "black box": ("black_box",),
    "adaptive": ("adaptive", "un_crafter", "nearest_released"),
}


@dataclass(frozen=True)
class Spot:
    """One setting of a defence in a panel.

    Attributes:
        x: utility AUC.
        y: figure of the panel.
        ends: lower and upper end of the figure.
        reliable: whether all checks that concern it have passed.
    """

    x: float
    y: float
    ends: tuple[float, float]
    reliable: bool


Lines = dict[str, list[Spot]]
Row = TypeVar("Row", AttackResult, WorstCase)


def write_plots(results: Results, out: Path) -> None:
    """Write three drawings into a folder, each as `.png` and, for print, as `.svg`.

    `evaluation` has utility against the worst case; `panels` the same for the best attack of each
    kind; `similarity`, of CelebA, the embeddings' similarity with the paper's points beside it.
    """
    drawings: dict[str, Callable[[Results], Figure]] = {
        "evaluation": draw_worst_case,
        "panels": draw_panels,
    }
    if results.dataset == CELEBA.dataset:
        drawings["similarity"] = draw_similarity
    for name, draw in drawings.items():
        for ending in FORMATS:
            save(draw(results), out / f"{name}.{ending}")


def save(figure: "Figure", path: Path) -> None:
    """Write a drawing whole; the path's ending is its format."""
    from matplotlib import pyplot

    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120, format=path.suffix[1:], bbox_inches="tight")
    pyplot.close(figure)


def kind_of(attack: str) -> str:
    """What an attack knows: a key of `KINDS`, or nothing for a floor."""
    return next((kind for kind, begins in KINDS.items() if attack.startswith(begins)), "")


def draw_worst_case(results: Results) -> "Figure":
    """Utility against worst-case identification, by the main judge, with what chance gets."""
    figure, (axes,) = _panels(1, width=9.5)
    lines: Lines = {}
    for row in _of_main(results, results.worst_case):
        lines.setdefault(row.defence, []).append(
            Spot(row.utility_auc, row.top1, row.intervals["top1"], row.reliable)
        )
    _draw(axes, lines)
    # several tries count, so that one picture's floors and one guess would be the wrong measure
    by_chance = [
        (row.utility_auc, row.chance.top1) for row in _of_main(results, results.worst_case)
    ]
    axes.plot(*zip(*by_chance, strict=True), "_", color="0.4", label="chance of the worst case")
    _raw_photographs(axes, results)
    axes.set_ylim(0, 1.05)
    axes.set_ylabel(f"worst-case identification, {results.evaluators[0]} top-1")
    _finish(figure, [axes], results)
    return figure


def draw_panels(results: Results) -> "Figure":
    """Utility against identification by the best single attack of each kind that was run.

    With several seeds a figure and the ends of its interval are means over them.
    """
    kinds = _kinds(results)
    figure, panels = _panels(len(kinds), width=3.6)
    for axes, kind in zip(panels, kinds, strict=True):
        _draw(axes, _best(results, kind, lambda row: row.top1, lambda row: row.intervals["top1"]))
        _floors(axes, results)
        axes.set_title(kind, fontsize=9)
    panels[0].set_ylabel(f"named by the best attack, {results.evaluators[0]} top-1")
    _finish(figure, panels, results)
    return figure


def draw_similarity(results: Results) -> "Figure":
    """Utility against the similarity of photograph and reconstruction, the paper's points hollow.

    Their network, people and judge are others, so that only the shapes can be compared. Bars reach
    over the seeds.
    """
    kinds = [kind for kind in _kinds(results) if kind in CELEBA.similarity]
    figure, panels = _panels(len(kinds), width=4.5)
    for axes, kind in zip(panels, kinds, strict=True):
        _draw(axes, _best(results, kind, lambda row: row.feature_similarity, lambda row: None))
        floor = mean(
            row.feature_similarity_floor
            for row in _of_main(results, results.results)
            if row.attack in results.attacks
        )
        axes.axhline(floor, color="0.6", linewidth=1, label="other people")
        for defence, points in CELEBA.similarity[kind].items():
            axes.plot(
                *zip(*points, strict=True),
                color=COLOURS[defence],
                marker="o",
                markerfacecolor="none",
                linestyle=":",
                label=f"{_words(defence)}, in the paper",
            )
        axes.set_title(kind, fontsize=9)
    panels[0].set_ylabel(f"similarity of embeddings; {results.evaluators[0]}, the paper's own")
    _finish(figure, panels, results)
    return figure


def _kinds(results: Results) -> list[str]:
    return [kind for kind in KINDS if any(kind_of(attack) == kind for attack in results.attacks)]


def _of_main(results: Results, rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if row.evaluator == results.evaluators[0]]


def _best(
    results: Results,
    kind: str,
    figure: Callable[[AttackResult], float],
    ends: Callable[[AttackResult], tuple[float, float] | None],
) -> Lines:
    """The best attack of a kind on each point; without ends of their own, those over the seeds."""
    lines: Lines = {}
    rows = [row for row in _of_main(results, results.results) if kind_of(row.attack) == kind]
    for point in dict.fromkeys(row.point for row in rows):
        by_attack: dict[str, list[AttackResult]] = {}
        for row in rows:
            if row.point == point:
                by_attack.setdefault(row.attack, []).append(row)
        best = max(by_attack.values(), key=lambda own: mean(map(figure, own)))
        known = [each for each in map(ends, best) if each is not None]
        low = mean(each[0] for each in known) if known else min(map(figure, best))
        high = mean(each[1] for each in known) if known else max(map(figure, best))
        lines.setdefault(best[0].defence, []).append(
            Spot(
                mean(row.utility_auc for row in best),
                mean(map(figure, best)),
                (low, high),
                all(row.reliable for row in best),
            )
        )
    return lines


def _panels(count: int, *, width: float) -> "tuple[Figure, Sequence[Axes]]":
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(
        1,
        count,
        figsize=(width * count, 4.5),
        sharex=True,
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    return figure, panels[0]


def _draw(axes: "Axes", lines: Lines) -> None:
    """One line for each defence; a cross marks where a check has failed."""
    for name, spots in lines.items():
        own = sorted(spots, key=lambda spot: spot.x)
        reliable = all(spot.reliable for spot in own)
        axes.errorbar(
            [spot.x for spot in own],
            [spot.y for spot in own],
            yerr=[
                [max(0.0, spot.y - spot.ends[0]) for spot in own],
                [max(0.0, spot.ends[1] - spot.y) for spot in own],
            ],
            label=_words(name) + ("" if reliable else " (not reliable)"),
            color=COLOURS.get(name),
            marker="o" if reliable else "x",
            capsize=2,
            linewidth=1.5,
        )


def _floors(axes: "Axes", results: Results) -> None:
    main = results.evaluators[0]
    styles = {"average_face": "-", "attribute_mean_face": "--", "random_face": "-."}
    for name, floor in results.floors[main].items():
        style = styles[name]
        axes.axhline(floor.top1, color="0.6", linestyle=style, linewidth=1, label=_words(name))
    axes.axhline(1 / results.people, color="0.6", linestyle=":", label="one guess")
    _raw_photographs(axes, results)


def _raw_photographs(axes: "Axes", results: Results) -> None:
    raw = results.oracle[results.evaluators[0]].top1
    axes.axhline(raw, color="0.3", linestyle=":", label="raw photographs")


def _finish(figure: "Figure", panels: "Sequence[Axes]", results: Results) -> None:
    """Axis of the utility, what is not promised, and one legend beside the last panel."""
    figure.supxlabel(UTILITY, fontsize=9)
    figure.suptitle(
        PROMISE + ("" if results.reliable else "\nx: a self-check failed; not reliable"),
        fontsize=10,
    )
    known = {}
    for axes in panels:
        handles, labels = axes.get_legend_handles_labels()
        known |= dict(zip(labels, handles, strict=True))
    panels[-1].legend(
        known.values(), known.keys(), fontsize=7, loc="upper left", bbox_to_anchor=(1.01, 1.0)
    )
    low, high = panels[-1].get_xlim()
    middle = (low + high) / 2
    panels[-1].set_xlim(min(low, middle - 0.01), max(high, middle + 0.01))


def _words(name: str) -> str:
    return name.replace("_", " ")
