"""Flower strategies and what they train on the server."""

from strategies.cloud_training import CloudTraining, train_cloud, with_head
from strategies.feature_sharing import FeatureSharing, NoValidReplies
from strategies.utility import AttributeUtility, attribute_utility, predict

__all__ = [
    "AttributeUtility",
    "CloudTraining",
    "FeatureSharing",
    "NoValidReplies",
    "attribute_utility",
    "predict",
    "train_cloud",
    "with_head",
]
