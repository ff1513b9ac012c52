"""A configuration is right in every value or refused in a line; what goes over what is the same for every setting."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge import config
from edge.errors import ConfigurationError
from edge.settings import NAMES, Config

FILE = Path("config.toml")

VALUES = st.fixed_dictionaries(
    {},
    optional={
        "camera": st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=20),
        "um_per_px": st.floats(0.01, 2.0),
        "size": st.from_regex(r"[1-9][0-9]{0,4}x[1-9][0-9]{0,4}", fullmatch=True),
        "interval": st.floats(0, 86400),
        "threads": st.integers(1, 64),
        "save": st.sampled_from(["none", "frames", "overlays"]),
    },
)


def test_the_example_explains_every_setting_and_sets_none() -> None:
    example = config.example()
    assert config.parse(example, FILE) == {}
    uncommented = "\n".join(line.removeprefix("#") for line in example.splitlines() if not line.startswith("# "))
    as_shown = config.parse(uncommented, FILE)
    assert list(as_shown) == list(NAMES)
    # Which have no default: wbc-edge cannot know the microscope.
    assert (as_shown.pop("um_per_px"), as_shown.pop("button_gpio")) == (0.1, 17)
    assert all(getattr(Config(), name) == value for name, value in as_shown.items())


def test_the_example_tells_the_bounds_of_every_number() -> None:
    defaults = config.example().splitlines()
    for line in ("#um_per_px = 0.1  # 0.01 to 2", "#timeout = 10.0  # over 0, at most 3600", "#batch = 4  # 1 to 64"):
        assert line in defaults
    numbers = [name for name in NAMES if isinstance(getattr(Config(), name), (int, float))]
    for name in (*numbers, "um_per_px", "button_gpio"):
        (line,) = [line for line in defaults if line.startswith(f"#{name} = ")]
        _, _, within = line.partition("  # ")
        most = within.split()[-1]
        config.parse(f"{name} = {most}", FILE)
        with pytest.raises(ConfigurationError, match=name):
            config.parse(f"{name} = {float(most) + 1:.0f}", FILE)


@given(VALUES)
def test_what_is_set_is_read_back(values: dict[str, str | float]) -> None:
    written = {name: str(value) for name, value in values.items()}
    text = config.changed(config.example(), FILE, written)
    assert config.parse(text, FILE) == {name: value for name, value in values.items() if written[name]}
    back = config.changed(text, FILE, dict.fromkeys(values, ""))
    assert config.parse(back, FILE) == {}
    for line in config.example().splitlines():
        assert line in back


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("um_per_px = 5", "um_per_px"),
        ("um_per_px = nan", "um_per_px"),
        ("um_per_px = 'a'", "um_per_px"),
        ("um_per_pixel = 0.1", "unknown setting `um_per_pixel`"),
        ("threads = 0", "threads"),
        ("threads = 1.5", "threads"),
        ("save = 'all'", "save"),
        ("size = '2560'", "size"),
        ("interval = -1", "interval"),
        ("[camera]\nindex = 0", "camera"),
        ("threads = ", "no TOML"),
        ("threads = 1\nthreads = 2", "no TOML"),
    ],
)
def test_what_is_wrong_is_named_in_a_line(content: str, complaint: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        config.parse(content, FILE)
    assert complaint in str(refused.value)
    assert "config.toml" in str(refused.value)
    assert "$." not in str(refused.value)


def test_a_file_that_is_not_there_sets_nothing_and_one_that_is_no_text_is_refused(tmp_path: Path) -> None:
    assert config.read(tmp_path / "config.toml") == {}
    (tmp_path / "config.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match="UTF-8"):
        config.read(tmp_path / "config.toml")


def test_the_users_own_file_goes_before_the_systems_and_a_named_one_before_both(tmp_path: Path) -> None:
    assert config.location({"HOME": str(tmp_path)}) == config.SYSTEM_FILE
    own = tmp_path / ".config" / "wbc-edge" / "config.toml"
    own.parent.mkdir(parents=True)
    own.touch()
    assert config.location({"HOME": str(tmp_path)}) == own
    # A home that cannot even be asked about, as another user's whom `runuser` left in the environment.
    assert config.location({"HOME": str(tmp_path / ("x" * 300))}) == config.SYSTEM_FILE
    assert config.location({"HOME": "/nowhere", "XDG_CONFIG_HOME": str(tmp_path / ".config")}) == own
    assert config.location({"HOME": str(tmp_path), "WBC_EDGE_CONFIG": "/elsewhere"}) == Path("/elsewhere")
    assert config.location({}) == config.SYSTEM_FILE


def test_the_environment_is_checked_like_the_file() -> None:
    assert config.of_environment({"WBC_EDGE_UM_PER_PX": "0.2", "WBC_EDGE_SAVE": "", "HOME": "/home/pi"}) == {
        "um_per_px": 0.2
    }
    with pytest.raises(ConfigurationError, match="WBC_EDGE_THREADS"):
        config.of_environment({"WBC_EDGE_THREADS": "many"})


def test_in_force_is_the_file_over_it_the_environment_and_over_both_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("watch_folder = '/drop'\num_per_px = 0.2\nthreads = 2\n", "utf-8")
    environment = {"WBC_EDGE_CONFIG": str(tmp_path / "config.toml"), "WBC_EDGE_UM_PER_PX": "0.1", "WBC_EDGE_BATCH": "2"}
    command_line = config.of_command_line({"um_per_px": None, "threads": "3", "batch": "8"})
    in_force = config.effective(environment, command_line)
    assert (in_force.watch_folder, in_force.um_per_px, in_force.threads, in_force.batch) == ("/drop", 0.1, 3, 8)


@given(VALUES)
def test_the_command_line_is_checked_like_the_file(values: dict[str, str | float]) -> None:
    assert config.of_command_line({name: str(value) for name, value in values.items()}) == values


def test_what_is_wrong_on_the_command_line_is_told_by_the_name_of_its_option() -> None:
    with pytest.raises(ConfigurationError, match="--least-free-mb"):
        config.of_command_line({"least_free_mb": "-1"})


def test_an_unknown_setting_or_a_file_that_was_wrong_before_is_not_changed() -> None:
    with pytest.raises(ConfigurationError, match="no such setting"):
        config.changed("", FILE, {"colour": "red"})
    with pytest.raises(ConfigurationError, match="no TOML"):
        config.changed("threads =", FILE, {"threads": "2"})
