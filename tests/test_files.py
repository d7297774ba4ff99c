"""Files are written whole or not at all, and by one process at a time."""

import subprocess
import sys
from pathlib import Path

import pytest

from fl_crafter.errors import InputError
from fl_crafter.files import only_here, replacing, write_text


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "new" / "figures.json"
    write_text(path, "old")
    with pytest.raises(KeyboardInterrupt), replacing(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert [file.name for file in path.parent.iterdir()] == ["figures.json"]
    assert path.read_text("utf-8") == "old"
    write_text(path, "neu: ä")
    assert path.read_text("utf-8") == "neu: ä"


HOLDER = """
import sys, time
from pathlib import Path
from fl_crafter.files import only_here
with only_here(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_folder_is_for_one_process_until_that_ends(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "run"
    other = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    try:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(InputError, match=f"Another run is writing to {folder}; .*--out"):
            with only_here(folder):
                raise AssertionError("two are in")
    finally:
        other.kill()
        other.wait()
        other.stdout.close()
    with only_here(folder):
        pass
    assert not folder.exists()  # nothing is made before its owner makes it
