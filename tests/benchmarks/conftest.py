"""The small world, for the benchmarks' own loops."""

import pytest

from tests.world import World, build_world


@pytest.fixture(scope="session")
def world() -> World:
    return build_world()
