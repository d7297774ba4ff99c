"""Import torchvision beside a CPU-only torch build.

torchvision wheels from the Python registry carry compiled operators that want CUDA. Beside a CPU
build of torch they fail to load and the import ends in `operator torchvision::nms does not exist`.
Everything that this project uses (models, feature extraction) is pure Python, so on exactly that
failure the two missing operators are declared, without an implementation, and the import is tried
again. Import torchvision through this module only.
"""

import sys

import torch

_declared: list[torch.library.Library] = []  # a Library withdraws its operators when collected


def _declare_missing_operators() -> None:
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _declared.append(library)


try:
    import torchvision
except RuntimeError as error:
    if "torchvision::nms" not in str(error):
        raise
    for module in [m for m in sys.modules if m.split(".")[0] == "torchvision"]:
        del sys.modules[module]
    _declare_missing_operators()
    import torchvision

__all__ = ["torchvision"]
