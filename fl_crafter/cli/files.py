"""Names of the files that the commands write and read, and what is said where one is missing."""

from pathlib import Path

from fl_crafter.errors import InputError

SUMMARY, PICTURES, REPORT = "summary.json", "pictures.safetensors", "report.html"
RESULTS = "results.json"


def require_dataset_folder(data: str, root: Path | None) -> None:
    """Refuse a dataset without its folder before anything is written.

    Raises:
        InputError: there is none, and the dataset is not inside a package.
    """
    if root is None and data != "orl":
        raise InputError(f"--data {data} needs --root, the folder of the unpacked dataset.")
