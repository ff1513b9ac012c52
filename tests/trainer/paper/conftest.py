"""Small square pictures of the drawn fields, read once."""

from __future__ import annotations

import pytest

from trainer import manifest
from trainer.paper import augmentation, fields

SIDE_PX = 48


@pytest.fixture(scope="session")
def taken(manifest_file):
    """Read the 24 drawn fields: 3 classes in 2 laboratories, 2 groups each, 2 fields a group."""
    sources = manifest.read([manifest_file])
    return fields.read(sources, manifest.classes(sources), SIDE_PX)


@pytest.fixture(scope="session")
def pictures(taken):
    """Augment them as the paper does."""
    return augmentation.expand(taken)
