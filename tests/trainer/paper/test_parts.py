"""A part of the comparison that was kept is taken up when it is whole and of the same question, and otherwise not."""

from __future__ import annotations

import pytest

from trainer.paper import parts


@pytest.mark.parametrize("content", [b"", b'{"key": "a', b'{"key": "\xe4"}', b'{"key": 7}'])
def test_a_damaged_part_is_found_anew(tmp_path, content):
    path = tmp_path / "part.json"
    assert parts.kept(path, "a") is None
    path.write_bytes(content)
    assert parts.kept(path, "a") is None
