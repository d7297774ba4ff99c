"""A second judge of another family: dlib's residual network, where it is installed."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from fl_crafter.errors import InputError
from fl_crafter.evaluation.detector import FaceDetector
from fl_crafter.evaluation.evaluator import Evaluator, aligned_face

SIDE = 150
# Centres of the eyes, tip of the nose and corners of the mouth of dlib's mean face, padded by a
# quarter, in pixels of the network's input.
TEMPLATE = np.array(
    [[47.549, 46.599], [100.476, 46.599], [74.013, 76.562], [50.415, 103.023], [97.610, 103.023]]
)
NETWORK = "dlib_face_recognition_resnet_model_v1.dat"
INSTALL = "install fl-crafter[dlib]"


class DlibEvaluator(Evaluator):
    """dlib's identity network (King, 2017): 128 dimensions, trained on other data than SFace."""

    name = "dlib"

    def __init__(self) -> None:
        self._detector = FaceDetector()
        self._network = _dlib().face_recognition_model_v1(str(_model_file()))

    def landmarks(self, image: Float[Tensor, "count 3 height width"]) -> Float[Tensor, "count 5 2"]:
        """Eyes, nose and corners of the mouth of the most certain face (YuNet)."""
        return self._detector.landmarks(image)

    def embed(
        self,
        image: Float[Tensor, "count 3 height width"],
        *,
        landmarks: Float[Tensor, "count 5 2"] | None = None,
    ) -> Float[Tensor, "count 128"]:
        """See `Evaluator.embed`."""
        points = self.landmarks(image) if landmarks is None else landmarks
        pixels = (image.detach().cpu().float() * 255).permute(0, 2, 3, 1).numpy()
        faces = [
            aligned_face(photo, place, template=TEMPLATE, side=SIDE).round().clip(0, 255)
            for photo, place in zip(pixels, points.double().numpy(), strict=True)
        ]
        if not faces:
            return torch.empty(0, 128)
        vectors = [self._network.compute_face_descriptor(each.astype(np.uint8)) for each in faces]
        return functional.normalize(torch.tensor(np.array(vectors), dtype=torch.float32), dim=1)


def _dlib() -> Any:
    try:
        import dlib  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise InputError(f"dlib is not installed; {INSTALL}.") from error
    return dlib


def _model_file() -> Path:
    # the package itself is never imported
    spec = find_spec("face_recognition_models")
    if spec is None or not spec.submodule_search_locations:
        raise InputError(f"face-recognition-models is not installed; {INSTALL}.")
    return Path(spec.submodule_search_locations[0]) / "models" / NETWORK
