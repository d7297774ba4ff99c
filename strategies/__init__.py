"""Flower strategies and what they train on the server."""

from fl_crafter.models.head import with_head
from fl_crafter.training.cloud import CloudTraining, train_cloud
from strategies.checkpoint import load_checkpoint, save_checkpoint
from strategies.feature_sharing import FeatureSharing, RoundRecord, SharingPlan
from strategies.inference import FeatureInference
from strategies.intake import Intake
from strategies.requests import NoValidReplies
from strategies.store import FeatureStore
from strategies.utility import AttributeUtility, attribute_utility, predict
from strategies.waves import WaveGrid

__all__ = [
    "AttributeUtility",
    "CloudTraining",
    "FeatureInference",
    "FeatureSharing",
    "FeatureStore",
    "Intake",
    "NoValidReplies",
    "RoundRecord",
    "SharingPlan",
    "WaveGrid",
    "attribute_utility",
    "load_checkpoint",
    "predict",
    "save_checkpoint",
    "train_cloud",
    "with_head",
]
