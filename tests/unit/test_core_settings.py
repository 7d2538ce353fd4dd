from __future__ import annotations

import pytest

from instar.core.errors import SettingInvalid
from instar.core.settings import (
    LEGACY_NAMES,
    SECRET_KEYS,
    Settings,
    known_keys,
    load_settings,
    variable_of,
)

WRONG_VALUES = [
    ("INSTAR_LOG_LEVEL", "loud", "log.level", "one of debug, info, warning, error"),
    ("INSTAR_SERVER_PORT", "eighty", "server.port", "int"),
    ("INSTAR_SERVER_PORT", "65536", "server.port", "65535"),
    ("INSTAR_SERVER_PORT", "-1", "server.port", ">= 0"),
    ("INSTAR_AGENT_WINDOW", "0", "agent.window", ">= 1"),
    ("INSTAR_AGENT_EMOTION", "perhaps", "agent.emotion", "bool"),
    ("INSTAR_MODEL_TEMPERATURE", "warm", "model.temperature", "float"),
    ("INSTAR_MODEL_TEMPERATURE", "2.5", "model.temperature", "<= 2"),
    ("INSTAR_MODEL_TIMEOUT_S", "0", "model.timeout_s", "> 0"),
    ("LLM_TEMPERATURE", "hot", "model.temperature", "float"),
    ("LLM_REQUEST_TIMEOUT", "-3", "model.timeout_s", "> 0"),
]


def rows_of(settings_rows):
    return {row.key: row for row in settings_rows}


def write(tmp_path, text):
    file = tmp_path / "instar.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_nothing_set_gives_the_defaults_and_says_so():
    settings, rows = load_settings({})
    assert settings == Settings()
    assert {row.source for row in rows} == {"default"}


def test_every_setting_has_a_row_and_a_variable():
    _, rows = load_settings({})
    assert [row.key for row in rows] == list(known_keys())
    assert all(row.variable == variable_of(row.key) for row in rows)


@pytest.mark.parametrize(("variable", "value", "key", "expected"), WRONG_VALUES)
def test_a_wrong_value_names_the_variable_the_value_and_what_is_expected(variable, value, key, expected):
    with pytest.raises(SettingInvalid) as refused:
        load_settings({variable: value})
    assert key in refused.value.what
    assert repr(value) in refused.value.what
    assert variable in refused.value.what
    assert expected in refused.value.why
    assert variable in refused.value.next


@pytest.mark.parametrize("key", sorted(known_keys()))
def test_every_key_can_be_set_by_its_variable(key):
    example = {str: "text", int: "7", float: "1.5", bool: "false"}
    kind = type(rows_of(load_settings({})[1])[key].value)
    value = {"log.level": "debug"}.get(key, example[kind])
    _, rows = load_settings({variable_of(key): value})
    assert rows_of(rows)[key].source == variable_of(key)


@pytest.mark.parametrize(("name", "key"), sorted(LEGACY_NAMES.items()))
def test_names_of_earlier_systems_are_honoured(name, key):
    kind = type(rows_of(load_settings({})[1])[key].value)
    value = {str: "text", float: "1.5"}[kind]
    _, rows = load_settings({name: value})
    assert rows_of(rows)[key].source == name


def test_our_own_name_wins_over_a_legacy_one():
    settings, _ = load_settings({"LLM_MODEL_NAME": "old", "INSTAR_MODEL_NAME": "new"})
    assert settings.model.name == "new"


def test_a_flag_wins_over_the_environment_which_wins_over_the_file(tmp_path):
    file = write(tmp_path, '[agent]\nname = "file"\nwindow = 5\n[server]\nport = 1\n')
    environment = {"INSTAR_AGENT_NAME": "environment", "INSTAR_AGENT_WINDOW": "6"}
    settings, rows = load_settings(environment, file=file, flags={"agent.name": "flag"})
    assert (settings.agent.name, settings.agent.window, settings.server.port) == ("flag", 6, 1)
    sources = [rows_of(rows)[key].source for key in ("agent.name", "agent.window", "server.port")]
    assert sources == ["flag for agent.name", "INSTAR_AGENT_WINDOW", str(file)]


def test_an_unknown_key_in_the_file_is_refused_by_name(tmp_path):
    with pytest.raises(SettingInvalid, match=r"agent\.nmae"):
        load_settings({}, file=write(tmp_path, '[agent]\nnmae = "x"\n'))


def test_an_unknown_section_in_the_file_is_refused_by_name(tmp_path):
    with pytest.raises(SettingInvalid, match="agnet"):
        load_settings({}, file=write(tmp_path, '[agnet]\nname = "x"\n'))


def test_a_value_outside_any_section_is_refused_by_name(tmp_path):
    with pytest.raises(SettingInvalid, match="name"):
        load_settings({}, file=write(tmp_path, 'name = "x"\n'))


def test_an_unknown_flag_is_refused_by_name():
    with pytest.raises(SettingInvalid, match=r"agent\.colour"):
        load_settings({}, flags={"agent.colour": "red"})


def test_a_file_that_is_no_toml_is_refused_with_its_place(tmp_path):
    file = write(tmp_path, "[agent\n")
    with pytest.raises(SettingInvalid, match="line 1") as refused:
        load_settings({}, file=file)
    assert str(file) in refused.value.what


def test_a_file_that_is_not_utf8_is_refused(tmp_path):
    file = tmp_path / "instar.toml"
    file.write_bytes(b'[agent]\nname = "\xff"\n')
    with pytest.raises(SettingInvalid, match="cannot be read"):
        load_settings({}, file=file)


def test_a_file_value_of_the_wrong_type_is_refused_not_converted(tmp_path):
    with pytest.raises(SettingInvalid, match=r"server\.port"):
        load_settings({}, file=write(tmp_path, "[server]\nport = 80.5\n"))


def test_a_file_that_does_not_exist_counts_as_empty(tmp_path):
    settings, _ = load_settings({}, file=tmp_path / "absent.toml")
    assert settings == Settings()


@pytest.mark.parametrize("key", sorted(SECRET_KEYS))
def test_a_secret_is_read_but_never_shown(key):
    settings, rows = load_settings({variable_of(key): "sk-123"})
    section, _, name = key.partition(".")
    assert getattr(getattr(settings, section), name) == "sk-123"
    assert rows_of(rows)[key].value == "(hidden)"


@pytest.mark.parametrize("key", sorted(SECRET_KEYS))
def test_a_secret_that_is_not_set_is_shown_as_empty(key):
    assert rows_of(load_settings({})[1])[key].value == ""


@pytest.mark.parametrize("key", sorted(SECRET_KEYS))
def test_a_wrong_secret_is_refused_without_showing_it(tmp_path, key):
    section, _, name = key.partition(".")
    with pytest.raises(SettingInvalid) as refused:
        load_settings({}, file=write(tmp_path, f"[{section}]\n{name} = 987654\n"))
    assert "987654" not in str(refused.value)


def test_every_key_whose_name_sounds_secret_is_secret():
    assert {key for key in known_keys() if key.endswith(("key", "token", "password", "secret"))} == SECRET_KEYS


def test_settings_cannot_be_changed_after_reading():
    settings, _ = load_settings({})
    with pytest.raises(AttributeError):
        settings.server.port = 1
