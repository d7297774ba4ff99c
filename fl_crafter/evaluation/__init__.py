"""Judge reconstructions against the private truth, which joins nowhere else."""

from fl_crafter.evaluation.bootstrap import Resampling
from fl_crafter.evaluation.detector import FaceDetector
from fl_crafter.evaluation.evaluate import Evaluation, evaluate_run, read_crafting
from fl_crafter.evaluation.evaluator import Evaluator, SFaceEvaluator
from fl_crafter.evaluation.ledger import Ledger, Predictions, read_ledger
from fl_crafter.evaluation.record import (
    CRAFTER,
    NO_DEFENCE,
    WORST_CASE,
    Crafting,
    DefenceRecord,
    Summary,
    read_summary,
    write_summary,
)
from fl_crafter.evaluation.summarise import Setup, summarise
from fl_crafter.evaluation.truth import PrivateTruth, prepare_truth

__all__ = [
    "CRAFTER",
    "NO_DEFENCE",
    "WORST_CASE",
    "Crafting",
    "DefenceRecord",
    "Evaluation",
    "Evaluator",
    "FaceDetector",
    "Ledger",
    "Predictions",
    "PrivateTruth",
    "Resampling",
    "SFaceEvaluator",
    "Setup",
    "Summary",
    "evaluate_run",
    "prepare_truth",
    "read_crafting",
    "read_ledger",
    "read_summary",
    "summarise",
    "write_summary",
]
