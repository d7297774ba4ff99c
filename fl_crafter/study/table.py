"""Write an evaluation's results as tables in Markdown."""

from collections.abc import Iterable
from pathlib import Path

from fl_crafter.evaluation.cell import ALL_PICTURES
from fl_crafter.evaluation.collect import AND_ALBUM, BY_ALBUM
from fl_crafter.evaluation.results import Check, Rates, Results
from fl_crafter.files import write_text
from fl_crafter.study.plan import fused
from fl_crafter.study.plots import write_plots

UNRELIABLE = "⚠"


def write_tables(results: Results, out: Path) -> None:
    """Write `evaluation.md` and the plots (see `write_plots`) into a folder."""
    write_text(out / "evaluation.md", markdown(results))
    write_plots(results, out)


def markdown(results: Results) -> str:
    """All tables, with how they were made and what they do not promise."""
    parts = [
        f"# Evaluation on {results.dataset}",
        _made(results),
        "## Appearance: who is recognised in a reconstruction",
        *(_appearance(results, evaluator) for evaluator in results.evaluators),
        f"{UNRELIABLE} marks what a failed self-check makes unreliable. *All pictures, one guess*: "
        "who fits the pictures of all attacks best. *Worst case*: a photograph "
        "counts if any attack names its person. Chance is that of the same rule. **None of this is "
        "differential privacy**, and a stronger attacker may see more.",
        *(_bounds(results, evaluator) for evaluator in results.evaluators),
    ]
    if results.linkability:
        with_album = any(row.evidence.endswith(AND_ALBUM) for row in results.linkability)
        parts += ["## Linkability: who is recognised by a classifier", _linkability(results)]
        parts += [
            f"*{BY_ALBUM.removeprefix(', ').capitalize()}*: nothing of these people went through "
            "the defence; from public faces it is told what somebody's would give whose plain "
            "photographs a face recogniser sees. The others have labelled uploads of them"
            + (f", *{AND_ALBUM.removeprefix(', ')}* both." if with_album else ".")
        ]
    parts += ["## Self-checks", _checks(results.self_checks)]
    return "\n\n".join(parts) + "\n"


def _made(results: Results) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in results.versions.items())
    seeds = ", ".join(str(seed) for seed in results.seeds)
    own = "".join(
        f", {what} `{name}`"
        for what, name in (("encoder", results.encoder), ("generator", results.generator))
        if name
    )
    if results.uploads > 1 or results.releases > 1:
        own += (
            f"; the attacks meet the mean of {results.uploads} photographs of a person, each "
            f"released {results.releases} times"
        )
        if any(fused(name) in results.attacks for name in results.attacks):
            own += "; *fused* are attacks on each of them, whose pictures are judged together"
    if results.batch:
        own += f"; protected in batches of {results.batch}"
    if results.drawn:
        own += f"; defences hold {results.drawn} drawn faces, and no photograph"
    if results.attributes:
        own += f"; the task asks for {results.attributes.replace(',', ', ')} alone"
    of = f" of {results.public_data}" if results.public_data else ""
    return (
        f"`{results.command}`\n\n{results.photographs} test photographs of {results.size} pixels, "
        f"{results.people} people to choose from, {results.public_photographs} public photographs"
        f"{of}; seeds {seeds}; suite {results.suite}, budget {results.budget}{own}; "
        f"{results.machine}; {versions}. Utility is the mean ROC-AUC of the cloud model: in "
        f"deployment as it was before{results.training}, in development after it went on learning "
        "from what the defence releases of other photographs of these people, with their labels. "
        "Intervals are 95%, over people."
    )


def _appearance(results: Results, evaluator: str) -> str:
    attacks = list(results.attacks)
    head = ["defence", "setting", "AUC, deployment", "AUC, development", *map(_words, attacks)]
    joined = any(row.attack == ALL_PICTURES for row in results.results)
    if joined:
        attacks.append(ALL_PICTURES)
        head += ["all pictures, one guess"]
    head += [f"worst case, {evaluator} top-1", "top-5", "chance of top-1"]
    head += ["accepted by any attack at FAR 1%", "chance"]
    rows = []
    for worst in (w for w in results.worst_case if w.evaluator == evaluator):
        own = [r for r in results.results if r.evaluator == evaluator and r.point == worst.point]
        single = [[r.top1 for r in own if r.attack == attack] for attack in attacks]
        rows.append(
            [
                f"`{worst.defence}`{_mark(worst)}",
                f"{worst.value:g}" if worst.parameter else "",
                _rate(worst, "utility_auc"),
                _rate(worst, "development_auc") if worst.development_auc is not None else "–",
                *(f"{sum(each) / len(each):.3f}" if each else "–" for each in single),
                _rate(worst, "top1"),
                f"{worst.top5:.3f}",
                f"{worst.chance.top1:.3f}",
                _rate(worst, "tar_far_1e2"),
                _share(worst.chance.tar_far_1e2),
            ]
        )
    return _table(head, rows)


def _bounds(results: Results, evaluator: str) -> str:
    """What pictures name that see nothing, and what the photographs themselves do."""
    own = results.floors[evaluator].items()
    return (
        f"Floors ({evaluator}, top-1): "
        + "; ".join(f"{_words(name)} {floor.top1:.3f}" for name, floor in own)
        + f". Raw photographs: {results.oracle[evaluator].top1:.3f}."
    )


def _linkability(results: Results) -> str:
    head = ["defence", "setting", "evidence", "top-1", "top-5", "TAR at FAR 1%", "labels alone"]
    rows = [
        [
            "" if own.evidence == "labels" else f"`{own.defence}`{_mark(own)}",
            f"{own.value:g}" if own.parameter else "",
            own.evidence,
            _rate(own, "top1"),
            f"{own.top5:.3f}",
            _rate(own, "tar_far_1e2"),
            f"{own.labels_top1:.3f}",
        ]
        for own in results.linkability
    ]
    return _table(head, rows)


def _checks(checks: Iterable[Check]) -> str:
    rows = [
        ["pass" if c.passed else f"**warning** {UNRELIABLE}", f"`{c.point}`" if c.point else "all"]
        + [c.name, c.text]
        for c in checks
    ]
    return _table(["", "about", "check", "found"], rows)


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def _rate(own: Rates, figure: str) -> str:
    if getattr(own, figure) is None:
        return "–"
    low, high = own.intervals[figure]
    return f"{getattr(own, figure):.3f} ({low:.3f}–{high:.3f})"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _mark(own: Rates) -> str:
    return "" if own.reliable else f" {UNRELIABLE}"


def _words(name: str) -> str:
    return name.replace("_", " ")
