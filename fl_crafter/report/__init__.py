"""One self-contained page that shows what a run protected, and what it did not."""

from fl_crafter.report.page import render_report, write_report
from fl_crafter.report.pictures import Pictures, choose_pictures
from fl_crafter.report.verdict import Finding, Outcome, verdict

__all__ = [
    "Finding",
    "Outcome",
    "Pictures",
    "choose_pictures",
    "render_report",
    "verdict",
    "write_report",
]
