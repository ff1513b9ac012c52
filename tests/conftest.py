"""What every test of the project relies on."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

import pytest
from hypothesis import settings

# The same examples on every run, so that a failure of one machine is a failure of all; no deadline, because the
# machines differ in speed and a slow one is not wrong.
settings.register_profile("project", derandomize=True, deadline=None)
settings.load_profile("project")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if importlib.util.find_spec("tflite_runtime"):
        return
    skip = pytest.mark.skip(reason="needs tflite-runtime: make test-tflite")
    for item in items:
        if item.get_closest_marker("tflite_runtime"):
            item.add_marker(skip)


@pytest.fixture(autouse=True, scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Give the tests, and the commands they start, a home of their own: never the user's journal or bundles."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("HOME", str(folder))
        for kind in ("CACHE", "CONFIG", "DATA", "STATE"):
            environment.setenv(f"XDG_{kind}_HOME", str(folder / kind.lower()))
        yield
