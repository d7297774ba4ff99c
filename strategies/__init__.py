"""Flower strategies and what they train on the server."""

from strategies.cloud_training import CloudTraining, train_cloud, with_head
from strategies.feature_sharing import FeatureSharing
from strategies.inference import FeatureInference
from strategies.intake import Intake
from strategies.requests import NoValidReplies
from strategies.utility import AttributeUtility, attribute_utility, predict

__all__ = [
    "AttributeUtility",
    "CloudTraining",
    "FeatureInference",
    "FeatureSharing",
    "Intake",
    "NoValidReplies",
    "attribute_utility",
    "predict",
    "train_cloud",
    "with_head",
]
