"""Whether an evaluation can tell anything at all: the judge, the people, the seeds, the attacks."""

from collections.abc import Collection

from fl_crafter.evaluation.record import NO_DEFENCE, Identification
from fl_crafter.evaluation.results import Check

FEW_PEOPLE = 10
FEW_SEEDS = 3
GOOD_JUDGE = 0.9  # of the raw photographs named
NEAR_ORACLE = 0.9  # of what the judge names on raw photographs


def check_setup(
    oracle: Identification, *, people: int, seeds: Collection[int], defences: Collection[str]
) -> list[Check]:
    """Whether an evaluation can tell anything: the judge, the people, the seeds, the reference."""
    return [
        judge_sees(oracle),
        enough_people(people),
        Check(
            name="enough seeds",
            passed=len(seeds) >= FEW_SEEDS,
            figure=len(seeds),
            text=f"{len(seeds)} seeds; at least {FEW_SEEDS} are wanted",
        ),
        is_there_a_reference(defences),
    ]


def judge_sees(oracle: Identification) -> Check:
    """The judge must tell these people apart on raw photographs."""
    return Check(
        name="the judge sees",
        passed=oracle.top1 >= GOOD_JUDGE,
        figure=oracle.top1,
        text=f"the evaluator names {oracle.top1:.1%} of the raw photographs; at least "
        f"{GOOD_JUDGE:.0%} are wanted",
    )


def enough_people(people: int) -> Check:
    """With few people intervals mean nothing."""
    return Check(
        name="enough people",
        passed=people >= FEW_PEOPLE,
        figure=people,
        text=f"{people} people; at least {FEW_PEOPLE} are wanted",
    )


def is_there_a_reference(defences: Collection[str]) -> Check:
    """The attacks must have run without defence too."""
    return Check(
        name="there is a reference",
        passed=NO_DEFENCE in defences,
        text="the attacks ran without defence too"
        if NO_DEFENCE in defences
        else "nothing ran without defence, so nothing shows that the attacks work",
    )


def are_strangers(*, split_is_drawn: bool) -> Check:
    """The shipped networks learnt from people of CelebA, whom another split may call private."""
    return Check(
        name="private people are strangers to the networks",
        passed=not split_is_drawn,
        text="a seed decided which people of CelebA are private, and the shipped networks may have "
        "learnt from them; give a roles.csv in which they are public, or train the networks anew"
        if split_is_drawn
        else "a file says which people of CelebA are private",
    )


def near_oracle(reached: float, oracle: Identification) -> Check:
    """Weak attacks make every defence look strong."""
    return Check(
        name="undefended faces are recognised",
        passed=reached >= NEAR_ORACLE * oracle.top1,
        figure=reached,
        text=f"without defence the worst case names {reached:.1%}, on raw photographs the judge "
        f"names {oracle.top1:.1%}; at least {NEAR_ORACLE:.0%} of that are wanted",
    )
