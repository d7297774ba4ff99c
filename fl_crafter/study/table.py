"""Write a study's results: a table in Markdown, the figures in JSON, a plot."""

import json
from pathlib import Path
from typing import Any

from fl_crafter.files import replacing, write_text

COLOURS = {
    "none": "black",
    "noise": "tab:gray",
    "projection": "tab:blue",
    "substitution": "tab:orange",
    "transport": "tab:brown",
    "crafter": "tab:red",
    "crafter_simulated": "tab:purple",
    "crafter_z": "tab:green",
}


def write_results(results: list[dict[str, Any]], out: Path) -> None:
    """Write `frontier.json`, `frontier.md` and `frontier.png` into a folder."""
    write_text(out / "frontier.json", json.dumps(results, indent=2) + "\n")
    write_text(out / "frontier.md", table(results))
    _plot(results, out / "frontier.png")


def table(results: list[dict[str, Any]]) -> str:
    """One row per point; identification is top-1, with the interval of the worst case."""
    attacks = [name for name in results[0]["identification"] if name != "worst_case"]
    head = ["defence", "setting", "utility AUC", *(a.replace("_", " ") for a in attacks)]
    head += ["worst case", "chance"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for result in results:
        own = result["identification"]
        worst = own["worst_case"]
        low, high = worst["interval"]
        cells = [
            f"`{result['defence']}`",
            f"{result['value']:g}",
            "{:.3f} ({:.3f}–{:.3f})".format(result["utility_auc"], *result["utility_interval"]),
            *(f"{own[attack]['top1']:.3f}" for attack in attacks),
            f"{worst['top1']:.3f} ({low:.3f}–{high:.3f})",
            f"{worst['chance']['top1']:.3f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _plot(results: list[dict[str, Any]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 5.5))
    for name in dict.fromkeys(result["defence"] for result in results):
        own = sorted(
            (r for r in results if r["defence"] == name), key=lambda r: float(r["utility_auc"])
        )
        auc = [r["utility_auc"] for r in own]
        worst = [r["identification"]["worst_case"] for r in own]
        top1 = [each["top1"] for each in worst]
        below = [max(0.0, each["top1"] - each["interval"][0]) for each in worst]
        above = [max(0.0, each["interval"][1] - each["top1"]) for each in worst]
        axes.errorbar(
            auc,
            top1,
            yerr=[below, above],
            label=name.replace("_", " "),
            color=COLOURS.get(name),
            marker="o",
            capsize=2,
            linewidth=1.5,
        )
    axes.axhline(results[0]["identification"]["worst_case"]["chance"]["top1"], color="0.7", ls=":")
    axes.set_xlabel("utility: mean ROC-AUC of the cloud model")
    axes.set_ylabel("worst-case identification, SFace top-1")
    axes.set_title("Lower right is better; dotted: chance. Not differential privacy.")
    axes.legend(fontsize=8)
    figure.tight_layout()
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120, format="png")
    pyplot.close(figure)
