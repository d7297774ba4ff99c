"""What an eavesdropper knows of a defence: it asks with faces that the defence does not hold."""

import torch
import torch.nn.functional as F

from fl_crafter.study.knowledge import apart, attacker_knowledge, with_defence, with_queries
from tests.world import pictures, seeded


def test_faces_are_parted_by_chance_and_none_is_lost() -> None:
    faces = pictures(40, seed=1)
    held, kept = apart(faces, random=seeded())
    assert (len(held), len(kept)) == (30, 10)
    rows = {tuple(face.flatten().tolist()) for face in torch.cat([held, kept])}
    assert rows == {tuple(face.flatten().tolist()) for face in faces}
    assert not torch.equal(kept, faces[:10])


def test_substitution_is_asked_with_faces_that_it_does_not_hold() -> None:
    """Of a face that it holds, the nearest is that face: its release would be the clean feature."""
    knowledge = attacker_knowledge(torch.empty(0, 3, 64, 64), drawn=40, random=seeded())
    known = with_defence(knowledge, "substitution", random=seeded())
    asked = known.query(images=10)
    assert len(asked) == 10
    change = (asked.released - asked.clean).flatten(1).square().mean(1)
    assert float(change.min()) > 0.1 * float(asked.clean.var(0).mean())


def test_drawn_faces_join_the_photographs_that_a_defence_is_asked_about() -> None:
    photographs = F.interpolate(pictures(12, seed=1), size=(64, 64))
    knowledge = attacker_knowledge(photographs[:6], query_image=photographs[6:])
    assert with_queries(knowledge, 6, random=seeded()) is knowledge
    more = with_queries(knowledge, 20, random=seeded()).query_image
    assert more is not None and more.shape == (20, 3, 64, 64)
    same = (more[:, None] == photographs[6:]).flatten(2).all(2)
    assert same.sum(0).tolist() == [1] * 6, "every photograph once"
    assert not torch.equal(more[:6], photographs[6:]), "mixed"
    assert 0 <= float(more.min()) and float(more.max()) <= 1
    assert float(more[~same.any(1)].var(0).mean()) > 0.01, "faces that differ"
