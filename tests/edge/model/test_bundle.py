"""The bundle: whole or refused in one line, whatever happened to its bytes; and nothing in it is ever executed."""

from __future__ import annotations

import hashlib
import io
import os
import re
import stat
import subprocess
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from edge.errors import BundleCorrupt, BundleError, BundleNotFound, BundleTooNew, OutputError
from edge.model import bundle as bundles
from edge.model import description as descriptions
from edge.model.bundle import Bundle

Parts = dict[str, bytes]

# Each example writes over the file of the one before.
same_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def unpack(raw: bytes) -> Parts:
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def pack(parts: Parts, *, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Make an archive whose SHA256SUMS are right: what someone who wants to harm would do."""
    parts = {name: content for name, content in parts.items() if name != "SHA256SUMS"}
    sums = "".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in parts.items())
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in {**parts, "SHA256SUMS": sums.encode()}.items():
            archive.writestr(name, content)
    return stream.getvalue()


def described(parts: Parts, **changes: Any) -> Parts:
    description = {**msgspec.json.decode(parts["description.json"]), **changes}
    return {**parts, "description.json": msgspec.json.encode(description)}


def npy(array: Any, **options: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


def assert_same(found: Bundle, expected: Bundle) -> None:
    assert found.description == expected.description
    assert found.networks == expected.networks
    assert found.card == expected.card
    assert found.parity == expected.parity
    assert found.selftest_logits.keys() == expected.selftest_logits.keys()
    arrays = [(found.selftest_logits[kind], logits) for kind, logits in expected.selftest_logits.items()]
    names = ("novelty_mean", "novelty_whitening", "selftest_tiles")
    for one, other in [*arrays, *((getattr(found, name), getattr(expected, name)) for name in names)]:
        assert one.dtype == other.dtype
        assert np.array_equal(one, other)


def refusal(path: Path, raw: bytes, kind: type[BundleError] = BundleCorrupt) -> str:
    path.write_bytes(raw)
    with pytest.raises(kind) as refused:
        bundles.read(path)
    assert type(refused.value) is kind
    line = str(refused.value)
    assert str(path) in line
    assert "\n" not in line
    return line


def test_what_is_written_is_read_back_bit_for_bit(small: Bundle, path: Path) -> None:
    written = bundles.write(small, path)
    assert_same(written, small)
    assert_same(bundles.read(path), small)
    assert written.path == path
    assert written.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert written.identity == f"small@{written.sha256[:12]}"


def test_the_same_parts_are_the_same_file(small: Bundle, whole: bytes, path: Path) -> None:
    bundles.write(small, path)
    assert path.read_bytes() == whole
    with zipfile.ZipFile(path) as archive:
        assert {part.date_time for part in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_the_model_that_ships_is_whole_and_small(bundled: Bundle) -> None:
    assert bundled.path is not None
    assert bundled.path.stat().st_size <= 300_000
    assert set(bundled.description.classes) == {"ALL", "MM", "normal"}
    assert bundled.description.training.licence
    assert re.fullmatch(r"marrow@[0-9a-f]{12}", bundled.identity)


@same_folder
@given(st.data())
def test_a_truncated_bundle_is_refused(whole: bytes, path: Path, data: st.DataObject) -> None:
    refusal(path, whole[: data.draw(st.integers(0, len(whole) - 1))])


def test_an_empty_file_and_what_is_no_archive_are_refused(path: Path) -> None:
    assert "not a whole bundle" in refusal(path, b"")
    assert "not a whole bundle" in refusal(path, b"\x89PNG\r\n" + b"x" * 1000)


def test_every_byte_counts_or_does_no_harm(small: Bundle, whole: bytes, path: Path) -> None:
    path.write_bytes(whole)
    refused = 0
    with path.open("r+b", buffering=0) as file:
        for place, value in enumerate(whole):
            os.pwrite(file.fileno(), bytes([value ^ 0xFF]), place)
            try:
                assert_same(bundles.read(path), small)
            except BundleCorrupt:
                refused += 1
            os.pwrite(file.fileno(), bytes([value]), place)
    assert refused > 0.8 * len(whole)
    assert_same(bundles.read(path), small)


@same_folder
@given(st.data())
def test_a_few_altered_bits_are_refused_or_do_no_harm(
    small: Bundle, whole: bytes, path: Path, data: st.DataObject
) -> None:
    altered = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 3))):
        altered[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(altered)
    try:
        found = bundles.read(path)
    except BundleCorrupt:
        return
    assert_same(found, small)


@same_folder
@given(st.binary(max_size=400))
@example(b"PK\x05\x06" + bytes(18))
def test_arbitrary_bytes_are_refused(path: Path, raw: bytes) -> None:
    refusal(path, raw)


@pytest.mark.parametrize(
    "name",
    [
        "description.json",
        "card.md",
        "novelty.npy",
        "selftest-tiles.npy",
        "network-int8.tflite",
        "network-float16.tflite",
    ],
)
def test_a_missing_part_is_refused(whole: bytes, path: Path, name: str) -> None:
    parts = unpack(whole)
    del parts[name]
    assert name in refusal(path, pack(parts))


def test_a_part_missing_from_the_archive_or_the_sums_is_refused(whole: bytes, path: Path) -> None:
    parts = unpack(whole)
    for missing in ("card.md", "SHA256SUMS"):
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            for name, content in parts.items():
                if name != missing:
                    archive.writestr(name, content)
        assert missing in refusal(path, stream.getvalue())


@pytest.mark.parametrize("name", ["card.md", "description.json", "network-int8.tflite"])
def test_a_part_that_is_not_the_one_summed_up_is_refused(whole: bytes, path: Path, name: str) -> None:
    parts = unpack(whole)
    parts[name] = parts[name][:-1] + b" "
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for part, content in parts.items():
            archive.writestr(part, content)
    assert f"{name} is missing or altered" in refusal(path, stream.getvalue())


@pytest.mark.parametrize(
    "name", ["notes.txt", "../evil.tflite", "/etc/passwd", "network-../../x.tflite", "network-int4.tflite"]
)
def test_a_part_that_a_bundle_does_not_have_is_refused(whole: bytes, path: Path, name: str) -> None:
    assert "unknown part" in refusal(path, pack({**unpack(whole), name: b"x"}))
    assert sorted(entry.name for entry in path.parent.iterdir()) == [path.name]


@pytest.mark.parametrize("file", ["../network.tflite", "network-../x.tflite", "card.md", "network-int8.tflite/"])
def test_a_network_has_a_plain_name(whole: bytes, path: Path, file: str) -> None:
    parts = {**described(unpack(whole), networks={"int8": file}), file: b"x"}
    assert "networks" in refusal(path, pack(parts))


def test_an_archive_that_claims_to_be_huge_is_refused_before_it_is_unpacked(whole: bytes, path: Path) -> None:
    zeros = bytes(23 << 20)
    bomb = pack({**unpack(whole), **{f"network-{number}.tflite": zeros for number in "abc"}})
    assert len(bomb) < 1 << 20
    assert "claims to unpack to" in refusal(path, bomb)


@pytest.mark.skipif(not Path("/dev/zero").is_char_device(), reason="needs /dev/zero")
def test_a_file_without_end_is_refused() -> None:
    with pytest.raises(BundleCorrupt):
        bundles.read(Path("/dev/zero"))


def test_an_archive_that_is_not_compressed_is_read(small: Bundle, whole: bytes, path: Path) -> None:
    path.write_bytes(pack(unpack(whole), method=zipfile.ZIP_STORED))
    assert_same(bundles.read(path), small)


def test_an_encrypted_archive_is_refused(whole: bytes, path: Path) -> None:
    encrypted = bytearray(whole)
    directory = whole.index(b"PK\x01\x02")
    encrypted[directory + 8] |= 1
    assert "encrypted" in refusal(path, bytes(encrypted))


def test_a_later_format_is_too_new_whatever_else_it_has(whole: bytes, path: Path) -> None:
    later = described(unpack(whole), format=descriptions.FORMAT + 1, classes="a new way to say it")
    line = refusal(path, pack({**later, "new-part.bin": b"x"}), BundleTooNew)
    assert "Upgrade wbc-edge" in line


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"format": 0}, "format"),
        ({"format": "1"}, "format"),
        ({"name": "../up"}, "name"),
        ({"name": ""}, "name"),
        ({"classes": ["ALL"]}, "classes"),
        ({"classes": ["ALL", "ALL", "MM"]}, "classes"),
        ({"classes": ["ALL", "MM", "indeterminate"]}, "classes"),
        ({"classes": ["ALL", "MM"]}, "decision"),
        ({"um_per_px": 0}, "um_per_px"),
        ({"um_per_px": 20}, "um_per_px"),
        ({"um_per_px": None}, "um_per_px"),
        ({"tiling": {"strategy": "nuclei", "tile_px": 7}}, "tile_px"),
        ({"tiling": {"strategy": "nuclei", "tile_px": 100_000}}, "tile_px"),
        ({"tiling": {"strategy": "spiral", "tile_px": 8}}, "strategy"),
        ({"tiling": {"strategy": "grid", "tile_px": 8, "overlap_px": 8}}, "overlap"),
        ({"tiling": {"strategy": "grid", "tile_px": 8, "most_tiles": 0}}, "most_tiles"),
        ({"networks": {}}, "networks"),
    ],
)
def test_a_description_with_an_impossible_value_is_refused(
    whole: bytes, path: Path, changes: dict[str, Any], named: str
) -> None:
    assert named in refusal(path, pack(described(unpack(whole), **changes)))


@pytest.mark.parametrize(
    "text", [b"", b"null", b"[]", b"{", b"\xff\xfe", b'{"format": 1}', b'{"format":1,"x":' + b"[" * 99_999]
)
def test_what_is_no_description_is_refused(whole: bytes, path: Path, text: bytes) -> None:
    refusal(path, pack({**unpack(whole), "description.json": text}))


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("selftest-tiles.npy", np.zeros((2, 9, 9, 3), np.uint8)),
        ("selftest-tiles.npy", np.zeros((2, 8, 8), np.uint8)),
        ("selftest-tiles.npy", np.zeros((3, 8, 8, 3), np.uint8)),
        ("selftest-tiles.npy", np.zeros((0, 8, 8, 3), np.uint8)),
        ("selftest-tiles.npy", np.zeros((2, 8, 8, 3), np.int8)),
        ("selftest-logits-float16.npy", np.zeros((2, 4), np.float32)),
        ("selftest-logits-float16.npy", np.zeros((2, 3), np.float64)),
        ("selftest-logits-float16.npy", np.full((2, 3), np.nan, np.float32)),
        ("novelty.npy", np.zeros((4, 4), np.float32)),
        ("novelty.npy", np.zeros((0, 4), np.float32)),
        ("novelty.npy", np.full((5, 4), np.inf, np.float32)),
        ("novelty.npy", np.zeros(20, np.float32)),
    ],
)
def test_arrays_that_do_not_fit_are_refused(whole: bytes, path: Path, name: str, array: Any) -> None:
    refusal(path, pack({**unpack(whole), name: npy(array)}))


def header(shape: str) -> bytes:
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


@pytest.mark.parametrize(
    "raw",
    [b"", b"\x93NUMPY", b"garbage", header("(5, 4)"), header("(1000000000000, 4)"), header("(-5, -4)"), header("(((")],
    ids=["empty", "cut", "garbage", "no-data", "huge", "negative", "no-header"],
)
@pytest.mark.filterwarnings("ignore:Reading `.npy`:UserWarning")
def test_damaged_arrays_are_refused(whole: bytes, path: Path, raw: bytes) -> None:
    refusal(path, pack({**unpack(whole), "novelty.npy": raw}))


class Trap:
    """Unpickling it leaves a file behind."""

    def __init__(self, sprung: Path) -> None:
        self.sprung = sprung

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.mkdir, (str(self.sprung),)


def test_a_pickled_array_is_refused_and_never_unpickled(whole: bytes, path: Path) -> None:
    sprung = path.with_name("sprung")
    pickled = npy(np.array([[Trap(sprung)]], object), allow_pickle=True)
    refusal(path, pack({**unpack(whole), "novelty.npy": pickled}))
    assert not sprung.exists()


def test_no_file_a_folder_and_one_without_access_are_not_found(whole: bytes, path: Path) -> None:
    for missing in (path, path.parent, path / "below"):
        with pytest.raises(BundleNotFound, match="model list") as refused:
            bundles.read(missing)
        assert isinstance(refused.value, FileNotFoundError)
    path.write_bytes(whole)
    path.chmod(0)
    user = os.geteuid()
    try:
        if user == 0:
            os.seteuid(65534)
        with pytest.raises(BundleNotFound, match="denied"):
            bundles.read(path)
    finally:
        os.seteuid(user)


def test_the_sums_are_what_sha256sum_reads(whole: bytes, tmp_path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        archive.extractall(tmp_path)
        # Else `unzip` would leave files that nobody may read.
        assert {stat.S_IMODE(part.external_attr >> 16) for part in archive.infolist()} == {0o644}
    checked = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr
    assert checked.stdout.count(": OK\n") == len(unpack(whole)) - 1


def test_writing_replaces_a_file_at_once(small: Bundle, path: Path) -> None:
    path.write_text("an older one")
    bundles.write(replace(small, card="new"), path)
    assert bundles.read(path).card == "new"
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_where_nothing_can_be_written_nothing_is_left(small: Bundle, path: Path) -> None:
    with pytest.raises(OutputError, match="Choose a folder"):
        bundles.write(small, path / "no such folder" / "x.wbc")
    path.mkdir()
    with pytest.raises(OutputError):
        bundles.write(small, path)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_parts_that_do_not_fit_are_not_passed_on_as_a_bundle(small: Bundle, path: Path) -> None:
    cut = {**small.selftest_logits, "int8": small.selftest_logits["int8"][:, :2]}
    with pytest.raises(BundleCorrupt, match="do not fit"):
        bundles.write(replace(small, selftest_logits=cut), path)
    assert not path.exists()


def test_a_good_bundle_is_not_replaced_by_one_that_no_device_would_read(small: Bundle, path: Path) -> None:
    before = bundles.write(small, path)
    no_number = small.novelty_whitening.copy()
    no_number[0, 0] = np.nan
    with pytest.raises(BundleCorrupt, match="no numbers"):
        bundles.write(replace(small, novelty_whitening=no_number), path)
    assert bundles.read(path).sha256 == before.sha256
    assert list(path.parent.iterdir()) == [path]


def test_a_bundle_of_the_first_format_is_read(small: Bundle, whole: bytes, path: Path) -> None:
    parts = unpack(whole)
    del parts["network-float16.tflite"], parts["selftest-logits-float16.npy"], parts["parity.json"]
    parts["selftest-logits.npy"] = parts.pop("selftest-logits-int8.npy")
    path.write_bytes(pack(described(parts, format=1, networks={"int8": "network-int8.tflite"})))
    found = bundles.read(path)
    assert np.array_equal(found.selftest_logits["int8"], small.selftest_logits["int8"])
    assert (list(found.networks), found.parity, found.signature) == (["int8"], b"", None)
    # Once written, it is of the latest.
    assert bundles.write(found, path).description.format == descriptions.FORMAT


def test_each_type_has_a_self_test_of_its_own(whole: bytes, path: Path) -> None:
    parts = unpack(whole)
    parts["selftest-logits.npy"] = parts.pop("selftest-logits-float16.npy")
    assert "unknown part" in refusal(path, pack(parts))
    del parts["selftest-logits.npy"]
    assert "selftest-logits-float16.npy" in refusal(path, pack(parts))


def test_a_type_that_no_device_knows_is_refused(whole: bytes, path: Path) -> None:
    assert "networks" in refusal(path, pack(described(unpack(whole), networks={"int4": "network-int8.tflite"})))
