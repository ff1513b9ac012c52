"""The page of a comparison says of each task what its figures cannot show."""

from __future__ import annotations

import pytest

from trainer.paper import tables


@pytest.mark.parametrize(
    ("homes", "said"),
    [
        ([{"a"}, {"a"}], "the classes come from **one laboratory**."),
        ([{"a", "b"}, {"a", "b"}], "the classes come from **the same 2 laboratories**."),
        ([{"a"}, {"b"}], "the classes come from **different laboratories**, so no figure"),
        ([{"a", "b"}, {"b", "c"}, {"a", "c"}], "the classes come from **different laboratories**, so no figure"),
        (
            [{"a"}, {"c", "a", "b"}],
            "all classes come from **a, but not all from b, c**: there what tells the laboratory",
        ),
    ],
)
def test_a_laboratory_that_has_some_of_the_classes_alone_is_named(homes, said):
    assert tables._whence(homes).startswith(said)
