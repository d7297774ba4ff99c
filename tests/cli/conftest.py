"""Run the command line in this process."""

from collections.abc import Callable

import pytest
from typer.testing import CliRunner, Result

from fl_crafter.cli.main import app


@pytest.fixture
def run() -> Callable[..., Result]:
    """Run `fl-crafter` in this process; anything but a proper end fails the test."""

    def call(*arguments: object) -> Result:
        result = CliRunner().invoke(app, [str(each) for each in arguments], env={"COLUMNS": "300"})
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return call


@pytest.fixture
def refused(run: Callable[..., Result]) -> Callable[..., str]:
    """Run `fl-crafter`, which must refuse with exit code 2 and one sentence that names these."""

    def call(*arguments: object, named: tuple[object, ...]) -> str:
        result = run(*arguments)
        assert result.exit_code == 2, result.output
        assert "Traceback" not in result.output
        *progress, message = result.stderr.strip().splitlines()
        assert not any("error" in line for line in progress)
        assert message.startswith("error: ") and ". " not in message
        for each in named:
            assert str(each) in message
        return message

    return call
