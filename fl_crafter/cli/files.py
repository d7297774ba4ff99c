"""Names of the files that the commands write and read, and what is said where one is missing."""

from pathlib import Path

from fl_crafter.errors import InputError

SUMMARY, PICTURES, REPORT = "summary.json", "pictures.safetensors", "report.html"
RESULTS = "results.json"


def require_dataset_folder(data: str, root: Path | None, *, of: str = "") -> None:
    """Refuse a dataset without its folder before anything is written.

    Args:
        data: name of the dataset.
        root: its folder.
        of: beginning of the two options' names, such as `public-`.

    Raises:
        InputError: there is none, and the dataset is not inside a package.
    """
    if root is None and data != "orl":
        raise InputError(f"--{of}data {data} needs --{of}root, the folder of the unpacked dataset.")
