"""Where a face is in an image, and whether there is one: YuNet."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from fl_crafter.evaluation.opencv import DETECTOR, model_file, opencv, quiet

SIDE = 320  # pixels that every image is resized to: the detector was trained on faces of this size
CERTAIN = 0.9
LIKELY = 0.6


class FaceDetector:
    """Finds the most certain face of each image, with five landmarks (Wu et al., 2023).

    On raw CelebA photographs at 64 px, confidence .9 finds 99% of the faces, 1% of those that are
    turned upside down and none that are shuffled in blocks of 16 px; confidence .6 finds all faces,
    but also most of the broken ones. So .9 answers *is this a face*, and .6 *where would it be*.
    """

    def __init__(self) -> None:
        with quiet():
            self._network = opencv().FaceDetectorYN.create(
                str(model_file(DETECTOR)), "", (SIDE, SIDE), LIKELY, 0.3, 50
            )

    def landmarks(
        self, image: Float[Tensor, "count 3 height width"], *, confidence: float = LIKELY
    ) -> Float[Tensor, "count 5 2"]:
        """Eyes, tip of the nose and corners of the mouth; the image's own left comes first.

        Args:
            image: images in [0, 1].
            confidence: how certain the detector must be of a face, in [0, 1].

        Returns:
            `[count, 5, 2]`: x and y as shares of width and height; nan where no face was found.
        """
        found = torch.full((len(image), 5, 2), float("nan"))
        self._network.setScoreThreshold(confidence)
        for place, photo in enumerate(image):
            faces = self._network.detect(_enlarged(photo))[1]
            if faces is not None:
                points = faces[faces[:, 14].argmax(), 4:14].reshape(5, 2)
                found[place] = torch.from_numpy((points + 0.5) / SIDE)
        return found

    def detection_rate(
        self, image: Float[Tensor, "count 3 height width"], *, confidence: float = CERTAIN
    ) -> float:
        """Share of the images, in [0, 1], in which a face is found.

        Args:
            image: images in [0, 1], such as samples of a generator.
            confidence: how certain the detector must be; .9 is OpenCV's own default.

        Raises:
            ValueError: there is no image.
        """
        if not len(image):
            raise ValueError("a detection rate needs at least one image")
        missing = self.landmarks(image, confidence=confidence).isnan().any(2).any(1)
        return 1 - float(missing.double().mean())


def _enlarged(photo: Tensor) -> np.ndarray:
    """A `[3, height, width]` image as `SIDE` x `SIDE` BGR bytes."""
    cv2 = opencv()
    pixels = (photo.detach().cpu().float().clamp(0, 1) * 255).round().byte()
    colours_last = np.ascontiguousarray(pixels.flip(0).permute(1, 2, 0).numpy())
    return cv2.resize(colours_last, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
