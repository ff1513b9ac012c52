"""What the tests of files share."""

import pytest

from edge.camera.decode import read_image


@pytest.fixture
def read(tmp_path):
    def read_bytes(data, name="field.img"):
        path = tmp_path / name
        path.write_bytes(data)
        return read_image(path)

    return read_bytes
