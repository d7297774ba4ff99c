"""The judge of reconstructions: an identity network that took no part in making them."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from fl_crafter.chunks import in_chunks
from fl_crafter.evaluation.detector import FaceDetector
from fl_crafter.evaluation.opencv import IDENTITY_NETWORK, model_file, opencv, quiet

SIDE = 112
# Where SFace was trained to see eyes, nose and corners of the mouth, in pixels of its input.
TEMPLATE = np.array(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ]
)


class Evaluator(ABC):
    """Tells who is in an image. It judges: no defence and no attack that it judges may use it.

    Attributes:
        name: what tables call it.
    """

    name: str

    @abstractmethod
    def landmarks(
        self, image: Float[Tensor, "count 3 height width"]
    ) -> Float[Tensor, "count points 2"]:
        """Where the faces are, in shares of width and height; nan where there seems to be none."""

    @abstractmethod
    def embed(
        self,
        image: Float[Tensor, "count 3 height width"],
        *,
        landmarks: Float[Tensor, "count points 2"] | None = None,
    ) -> Float[Tensor, "count dimensions"]:
        """Unit vectors that lie close for one person and apart for two.

        Args:
            image: images in [0, 1].
            landmarks: where to look for the faces; None finds them in the images themselves. An
                image whose landmarks are nan is looked at as a whole.
        """


class CallableEvaluator(Evaluator):
    """Any network of the user's; it looks at the whole image and finds no landmarks.

    Args:
        function: images `[count, 3, height, width]` in [0, 1] -> vectors `[count, dimensions]`,
            close in angle for one person; called without gradient.
        name: what tables call it.
        batch_size: images per call.
    """

    def __init__(
        self, function: Callable[[Tensor], Tensor], *, name: str, batch_size: int = 64
    ) -> None:
        self.function = function
        self.name = name
        self.batch_size = batch_size

    def landmarks(self, image: Float[Tensor, "count 3 height width"]) -> Float[Tensor, "count 1 2"]:
        """None are found."""
        return torch.full((len(image), 1, 2), float("nan"))

    def embed(
        self,
        image: Float[Tensor, "count 3 height width"],
        *,
        landmarks: Float[Tensor, "count 1 2"] | None = None,
    ) -> Float[Tensor, "count dimensions"]:
        """See `Evaluator.embed`.

        Raises:
            ValueError: the function does not return one finite vector for each image.
        """
        vector = in_chunks(self.function, image, self.batch_size).cpu().float()
        if vector.shape != (len(image), vector.shape[-1]) or not bool(vector.isfinite().all()):
            raise ValueError(
                f"evaluator {self.name} made {tuple(vector.shape)} of {len(image)} images; it must "
                "return one finite vector for each"
            )
        return functional.normalize(vector, dim=1)


class SFaceEvaluator(Evaluator):
    """SFace (Zhong et al., 2021), from OpenCV's collection: 128 dimensions, MobileFaceNet.

    At 64 px it names 98% of 960 raw CelebA test faces among 160 people, and all 200 ORL test faces
    among 40.
    """

    name = "SFace"

    def __init__(self) -> None:
        self._detector = FaceDetector()
        with quiet():
            self._network = opencv().dnn.readNetFromONNX(str(model_file(IDENTITY_NETWORK)))

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
            self._embed(aligned_face(photo, place))
            for photo, place in zip(pixels, points.double().numpy(), strict=True)
        ]
        return functional.normalize(torch.stack(faces), dim=1) if faces else torch.empty(0, 128)

    def _embed(self, face: np.ndarray) -> Tensor:
        # One face at a time: OpenCV 4 returns garbage from the second face of a batch on, and a
        # batch saves no time. By name: the network's graph lists its weights as inputs too.
        self._network.setInput(face.transpose(2, 0, 1)[None], "data")
        return torch.from_numpy(self._network.forward()[0])


def aligned_face(
    pixels: np.ndarray, landmarks: np.ndarray, *, template: np.ndarray = TEMPLATE, side: int = SIDE
) -> np.ndarray:
    """The face as an identity network wants it: turned, moved and scaled onto its template.

    Args:
        pixels: `[height, width, 3]`, float32.
        landmarks: `[5, 2]`, shares of width and height; with nan the whole image is taken.
        template: where the network was trained to see the landmarks, `[5, 2]`, in pixels.
        side: of the network's input in pixels.

    Returns:
        `[side, side, 3]`, in the values of `pixels`.
    """
    cv2 = opencv()
    if np.isnan(landmarks).any():
        return cv2.resize(pixels, (side, side), interpolation=cv2.INTER_CUBIC)
    height, width = pixels.shape[:2]
    source = landmarks * (width, height) - 0.5
    return cv2.warpAffine(
        np.ascontiguousarray(pixels),
        similarity_transform(source, template),
        (side, side),
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )


def similarity_transform(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The rotation, scale and shift that bring `source` closest to `target` (Umeyama, 1991).

    Args:
        source: points `[count, 2]`.
        target: points `[count, 2]`.

    Returns:
        `[2, 3]`: `target` is about `source @ matrix[:, :2].T + matrix[:, 2]`, in least squares.
    """
    source_mean, target_mean = source.mean(0), target.mean(0)
    centred = source - source_mean
    covariance = (target - target_mean).T @ centred / len(source)
    left, strength, right = np.linalg.svd(covariance)
    sign = np.array([1.0, np.sign(np.linalg.det(left @ right))])  # a face is never mirrored
    rotation = left @ np.diag(sign) @ right
    scale = (strength * sign).sum() / centred.var(0).sum()
    return np.column_stack([scale * rotation, target_mean - scale * rotation @ source_mean])
