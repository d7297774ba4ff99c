"""Files are written whole or not at all."""

from pathlib import Path

import pytest

from fl_crafter.files import replacing, write_text


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
