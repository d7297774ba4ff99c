"""The results of an evaluation, as `results.json` holds them."""

from pathlib import Path

from fl_crafter.assets.trained import TRAINED
from fl_crafter.evaluation.cell import point_name
from fl_crafter.evaluation.record import (
    ChanceOfRates,
    Cosine,
    Finite,
    Identification,
    Record,
    Seconds,
    Share,
    read_record,
)
from fl_crafter.files import write_text


class Check(Record):
    """One of the evaluation's checks of itself.

    Attributes:
        name: of the check.
        passed: whether it did.
        text: what was found, one sentence.
        figure: the figure that decided.
        point: the defence and setting that it is about; empty where it is about everything.
    """

    name: str
    passed: bool
    text: str
    figure: Finite | None = None
    point: str = ""


class Setting(Record):
    """Which release a row is about.

    Attributes:
        defence: its name.
        parameter: the setting that trades privacy for utility; empty where there is none.
        value: of that setting.
        utility_weight: the same where that setting is Crafter's, else None.
        reliable: whether all checks that concern the row have passed.
    """

    defence: str
    parameter: str
    value: float
    utility_weight: float | None
    reliable: bool

    @property
    def point(self) -> str:
        """Defence and setting, as tables and files name them."""
        return point_name(self.defence, self.parameter, self.value)


class Rates(Setting):
    """How often the true person is found.

    Attributes:
        top1: share of the photographs whose person comes first.
        top5: share whose person is among the first five.
        tar_far_1e2: share accepted as their person where 1% of wrong claims are; None in worst
            cases of before each attack had a threshold of its own, which showed too few.
        tar_far_1e3: the same at 0.1%.
        intervals: 95%, over people, by figure.
        chance: what the same rule gets when the truth is permuted among the photographs.
    """

    top1: Share
    top5: Share
    tar_far_1e2: Share | None
    tar_far_1e3: Share | None
    intervals: dict[str, tuple[Finite, Finite]]
    chance: ChanceOfRates


class AttackResult(Rates):
    """One attack on one release, judged by one evaluator.

    Attributes:
        attack: its name.
        evaluator: the judge.
        seed: of the defence's and the attacks' randomness.
        feature_similarity: mean cosine of the embeddings of photograph and reconstruction.
        feature_similarity_floor: the same with photographs of other people.
        ssim: mean structural similarity.
        psnr: mean, in decibels.
        perceptual_distance: mean; see `PerceptualDistance`.
        utility_auc: of the release.
    """

    attack: str
    evaluator: str
    seed: int
    feature_similarity: Cosine
    feature_similarity_floor: Cosine
    ssim: Cosine
    psnr: Finite
    perceptual_distance: Finite
    utility_auc: Share


class WorstCase(Rates):
    """The per-sample worst case over all attacks; means over the seeds.

    Attributes:
        evaluator: the judge.
        seeds: that were run.
        top1_by_seed: in their order.
        best_attack: the single attack that names the most.
        roc: true acceptance rate by the false acceptance rate of each attack.
        utility_auc: of the released features, with the cloud model as it was (deployment).
        development_auc: with the cloud model that went on learning from released features; None
            in results from before it was measured.
    """

    evaluator: str
    seeds: tuple[int, ...]
    top1_by_seed: tuple[Share, ...]
    best_attack: str
    roc: dict[str, Share]
    utility_auc: Share
    development_auc: Share | None = None


class Linkability(Rates):
    """How often who has met a person, by labelled uploads or photographs, names the next upload.

    Attributes:
        evidence: what it sees: `labels`, `released features`, and so on.
        seeds: that were run.
        labels_top1: what the labels alone give, the floor of every defence of features.
    """

    evidence: str
    seeds: tuple[int, ...]
    labels_top1: Share


class Results(Record):
    """A whole evaluation.

    Attributes:
        dataset: as tables call it.
        people: number of private people, those of the gallery.
        photographs: number of test photographs.
        public_photographs: that attackers and defences know.
        evaluators: names, the main judge first.
        seeds: that were asked for.
        suite: name of the suite.
        budget: of the suite.
        attacks: by name, all their settings.
        generator: the attacks' prior, as `package.module:function`; empty for the shipped one.
        encoder: of the features, likewise.
        uploads: photographs of a person that were attacked together.
        releases: of each, likewise.
        batch: photographs that were protected together; 0: the usual number of each defence.
        drawn: faces of the shipped generator that defences held; 0: they held photographs.
        size: side of the photographs in pixels.
        public_data: dataset of the public photographs; empty for `dataset` itself.
        attributes: names of those that the task asked for; empty: all.
        learnt: what the cloud model learnt from, in words; empty in results of before it was told.
        settings: by point, all the defence's settings.
        versions: of Python and the packages that matter.
        machine: on which it ran.
        command: that started it.
        seconds: in all, by part.
        oracle: by evaluator, identification of the raw photographs: the most that can be reached.
        floors: by evaluator, what pictures name that see nothing of the feature.
        self_checks: see `Check`.
        results: see `AttackResult`.
        worst_case: see `WorstCase`.
        linkability: see `Linkability`; the labels alone come first.
    """

    dataset: str
    people: int
    photographs: int
    public_photographs: int
    evaluators: tuple[str, ...]
    seeds: tuple[int, ...]
    suite: str
    budget: str
    attacks: dict[str, str]
    generator: str = ""
    encoder: str = ""
    uploads: int = 1
    releases: int = 1
    batch: int = 0
    drawn: int = 0
    size: int = 64
    public_data: str = ""
    attributes: str = ""
    learnt: str = ""
    settings: dict[str, str]
    versions: dict[str, str]
    machine: str
    command: str
    seconds: dict[str, Seconds]
    oracle: dict[str, Identification]
    floors: dict[str, dict[str, Identification]]
    self_checks: tuple[Check, ...]
    results: tuple[AttackResult, ...]
    worst_case: tuple[WorstCase, ...]
    linkability: tuple[Linkability, ...]

    @property
    def reliable(self) -> bool:
        """Whether every check has passed."""
        return all(check.passed for check in self.self_checks)

    @property
    def training(self) -> str:
        """What the cloud models were trained on, as the end of a clause; empty if it is unknown."""
        if not self.learnt:
            return ""
        trained = any(worst.defence in TRAINED for worst in self.worst_case)
        others = ", but those of the trained defences with their encoders" if trained else ""
        return f", trained on {self.learnt}{others}"


def write_results(results: Results, path: Path) -> None:
    """Write `results.json`, whole."""
    write_text(path, results.model_dump_json(indent=1) + "\n")


def read_results(path: Path) -> Results:
    """Read and check a `results.json`.

    Raises:
        InputError: there is no such file, or a field is missing, unknown or out of range.
    """
    return read_record(Results, path, wanted="the results.json of an evaluation")
