"""The distribution: one version, complete data, nothing that must not be there."""

import ast
import builtins
import dis
import importlib.metadata
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import CodeType

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("fl_crafter", "strategies", "simulations")
PICTURES = {".jpg", ".jpeg", ".png", ".pgm", ".ppm", ".gif", ".webp", ".bmp", ".tif", ".tiff"}
MODULES = [path for name in PACKAGES for path in sorted((ROOT / name).rglob("*.py"))]
NOT_INSTALLED = {"dlib": ["dlib-bin"]}  # by `make test`: modules and their distributions
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def source_files() -> list[Path]:
    """Every file that git tracks or would track; in a source archive, every file."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listing.returncode == 0:
        named = [ROOT / name for name in listing.stdout.split("\0") if name]
    else:
        generated = {"out", "dist", "build", "__pycache__"}
        named = [
            path
            for path in ROOT.rglob("*")
            for folders in [path.relative_to(ROOT).parts[:-1]]
            if not generated.intersection(folders)
            and not any(folder.startswith(".") and folder != ".ci" for folder in folders)
        ]
    return [path for path in named if path.is_file()]


def imported_names(path: Path) -> set[str]:
    """Top-level names of the modules that a file imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_versions_agree() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## (\d+\.\d+\.\d+)", changelog, re.MULTILINE)
    assert newest is not None
    assert newest[1] == PROJECT["version"] == importlib.metadata.version("fl-crafter")


def test_all_imports_are_declared() -> None:
    declared = PROJECT["dependencies"] + sum(PROJECT["optional-dependencies"].values(), [])
    required = {normalised(re.split(r"[\[<>=!~; ]", entry)[0]) for entry in declared}
    providers = importlib.metadata.packages_distributions() | NOT_INSTALLED
    scripts = [path for path in source_files() if path.suffix == ".py"]
    foreign = set().union(*map(imported_names, scripts))
    foreign -= {*PACKAGES, "tests", "benchmarks", "docs", "examples", *sys.stdlib_module_names}
    undeclared = {
        name
        for name in foreign
        if not required.intersection(normalised(provider) for provider in providers.get(name, []))
    }
    assert not undeclared


def functions(code: CodeType) -> Iterator[CodeType]:
    """A module's code, and that of everything inside it."""
    yield code
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from functions(inner)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_name_is_defined(package: str) -> None:
    """What the linters cannot tell here: shapes in annotations look like names to them."""
    for path in sorted((ROOT / package).rglob("*.py")):
        code = compile(path.read_text("utf-8"), str(path), "exec")
        loads = [each for part in functions(code) for each in dis.get_instructions(part)]
        stored = {each.argval for each in loads if each.opname in ("STORE_NAME", "STORE_GLOBAL")}
        used = {each.argval for each in loads if each.opname in ("LOAD_NAME", "LOAD_GLOBAL")}
        known = stored | set(dir(builtins))
        missing = {name for name in used - known if not name.startswith("__")}
        assert not missing, f"{path} uses {', '.join(sorted(missing))}, which it does not define"


def test_all_requirements_are_pinned() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    assert all("+" not in version for version in pins.values()), "a local version is one machine's"
    pinned = {normalised(name) for name in pins} | {"fl-crafter"}
    declared = PROJECT["dependencies"] + sum(PROJECT["optional-dependencies"].values(), [])
    required = {normalised(re.split(r"[\[<>=!~; ]", entry)[0]) for entry in declared}
    assert required <= pinned


def test_workflows_pin_their_actions_and_call_targets_that_exist() -> None:
    workflows = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
    if not (ROOT / ".github").is_dir():
        pytest.skip("a source archive has no workflows")
    text = "".join(path.read_text(encoding="utf-8") for path in workflows)
    actions = re.findall(r"uses: (\S+)", text)
    assert actions
    loose = [each for each in actions if not re.search(r"@[0-9a-f]{40}$|^[.]/", each)]
    assert loose == []
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    assert set(re.findall(r"run: make (\S+)", text)) <= targets


def test_wheel_holds_every_file_of_the_packages(tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    build = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"
    command = [sys.executable, "-c", build, str(tmp_path)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    with zipfile.ZipFile(tmp_path / built.stdout.split()[-1]) as wheel:
        packed = set(wheel.namelist())
    expected = {
        path.relative_to(ROOT).as_posix()
        for path in source_files()
        if path.relative_to(ROOT).parts[0] in PACKAGES
    }
    expected.add("fl_crafter/constraints.txt")  # a copy, for `fl-crafter doctor`
    assert expected
    assert not expected - packed
    strangers = {name for name in packed - expected if ".dist-info/" not in name}
    assert not strangers
    assert not {name for name in packed if Path(name).suffix.lower() in PICTURES}


def test_weights_are_shipped_and_small() -> None:
    weights = list((ROOT / "fl_crafter").rglob("*.safetensors"))
    assert weights
    assert sum(path.stat().st_size for path in weights) <= 25 * 2**20


def test_every_weights_file_has_a_model_card() -> None:
    weights = (ROOT / "fl_crafter").rglob("*.safetensors")
    assert [path.name for path in weights if not path.with_suffix(".md").exists()] == []


def test_no_picture_is_tracked() -> None:
    dumps = {".npy", ".npz", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".tar", ".zip"}
    assert [path for path in source_files() if path.suffix.lower() in PICTURES | dumps] == []


def test_nothing_that_runs_code_when_loaded() -> None:
    banned = {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
    found = []
    for path in MODULES:
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                if (node.value.id, node.attr) in {("torch", "save"), ("torch", "load")}:
                    found.append(f"{path}:{node.lineno}")
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                if not (isinstance(node.value, ast.Constant) and node.value.value is False):
                    found.append(f"{path}:{node.value.lineno}")
        found += [f"{path} imports {name}" for name in imported_names(path) & banned]
    assert found == []


@pytest.mark.parametrize(
    "pattern",
    [
        r"/(?:w[o]rk|r[o]ot|home/[a-z]+|Users/[A-Za-z]+|tmp/[a-z_]+)/",
        r"--(?:extra-)?index-url|find-links",
        r"pypi[.]org|pythonhosted[.]org|download[.]pytorch[.]org",
    ],
    ids=["path of one machine", "registry option", "registry address"],
)
def test_nothing_of_one_machine(pattern: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in source_files()
        if path.suffix != ".safetensors" and path != Path(__file__).resolve()
        for match in re.finditer(pattern, path.read_text(encoding="utf-8"))
    ]
    assert found == []


def python(code: str, *, path: Path | None = None) -> str:
    """What a new interpreter prints, with `path` in front of the packages' own."""
    before = f"import sys; sys.path.insert(0, {str(path)!r})\n" if path else ""
    command = [sys.executable, "-W", "error", "-c", before + code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def write_torchvision(folder: Path, code: str) -> None:
    """A package that stands in for torchvision, with a module that is imported before `code`."""
    (folder / "torchvision").mkdir()
    (folder / "torchvision" / "early.py").write_text("")
    start = "import sys\nimport torch\nimport torchvision.early\n"
    (folder / "torchvision" / "__init__.py").write_text(start + code)


SHIM = "from fl_crafter import _torchvision\nprint(len(_torchvision._declared))"


def test_torchvision_models_work_beside_any_torch() -> None:
    code = (
        "import torch\nfrom fl_crafter._torchvision import torchvision\n"
        "print(torchvision.models.resnet18()(torch.zeros(1, 3, 64, 64)).shape[1])"
    )
    assert python(code) == "1000"


def test_whole_torchvision_is_left_alone(tmp_path: Path) -> None:
    write_torchvision(tmp_path, "")
    assert python(SHIM, path=tmp_path) == "0"


def test_missing_operators_are_declared(tmp_path: Path) -> None:
    # what torchvision does at import, which fails when its compiled operators did not load
    write_torchvision(
        tmp_path,
        "for name in ('nms', 'qnms'):\n"
        "    @torch.library.register_fake(f'torchvision::{name}')\n"
        "    def fake(dets, scores, iou_threshold):\n"
        "        return dets\n",
    )
    again = "\nimport sys\nprint(hasattr(sys.modules['torchvision'], 'early'))"
    assert python(SHIM + again, path=tmp_path).split() == ["1", "True"]


def test_other_failures_of_torchvision_are_passed_on(tmp_path: Path) -> None:
    # only the first import fails: one that were tried again would hide it
    write_torchvision(
        tmp_path,
        "if not hasattr(sys, 'tried'):\n"
        "    sys.tried = True\n"
        "    raise RuntimeError('the disk is on fire')\n",
    )
    code = (
        "try:\n    import fl_crafter._torchvision\nexcept RuntimeError as error:\n    print(error)"
    )
    assert python(code, path=tmp_path) == "the disk is on fire"
