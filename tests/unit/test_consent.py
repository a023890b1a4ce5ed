"""Consent: nothing is measured before someone agreed to the present text."""

import os
import pty
import stat
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from probe import consent
from probe.consent import Consent, ConsentMissing, read, record, require, withdraw
from probe.exits import CommandError, Status

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def never():
    raise AssertionError("asked although the answer was known")


def test_before_anyone_agreed_nothing_is_recorded(tmp_path):
    assert read(tmp_path) is None


def test_consent_is_recorded_with_the_version_the_day_and_how(tmp_path):
    given = record(tmp_path / "new" / "folder", "question", NOON)
    assert given == Consent(version=consent.VERSION, day="2026-11-21", source="question")
    assert read(tmp_path / "new" / "folder") == given


def test_the_record_holds_no_finer_time_than_the_day(tmp_path):
    record(tmp_path, "question", NOON)
    assert "12:00" not in (tmp_path / "consent.json").read_text()


def test_nobody_else_can_read_a_folder_that_was_made_for_it(tmp_path):
    record(tmp_path / "settings", "question")
    assert stat.S_IMODE((tmp_path / "settings").stat().st_mode) == 0o700


def test_recording_leaves_one_file_and_replaces_an_older_one_whole(tmp_path):
    (tmp_path / "consent.json").write_text("x" * 1000)
    record(tmp_path, "option", NOON)
    assert [path.name for path in tmp_path.iterdir()] == ["consent.json"]
    assert read(tmp_path) is not None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"yes",
        b"[]",
        b'{"version": 1}',
        b'{"version": 0, "day": "2026-11-21", "source": "question"}',
        b'{"version": 2, "day": "2026-11-21", "source": "question"}',
        b'{"version": 1, "day": "2026-11-21", "source": "somebody"}',
        b"\xff\xfe",
    ],
)
def test_in_doubt_nobody_has_agreed(tmp_path, content):
    (tmp_path / "consent.json").write_bytes(content)
    assert read(tmp_path) is None


def test_consent_can_be_taken_back(tmp_path):
    record(tmp_path, "question")
    assert withdraw(tmp_path)
    assert read(tmp_path) is None
    assert not withdraw(tmp_path)


def test_a_folder_that_cannot_be_written_is_named_with_a_way_out(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CommandError, match="PROBE_CONSENT=yes") as caught:
        record(tmp_path / "file", "question")
    assert "consent.json" in str(caught.value)


def test_a_record_that_cannot_be_removed_is_named(tmp_path):
    (tmp_path / "consent.json").mkdir()
    with pytest.raises(CommandError, match="remove it by hand"):
        withdraw(tmp_path)


def test_recorded_consent_is_enough(tmp_path):
    record(tmp_path, "question")
    require(tmp_path, yes=False, environ={}, ask=never)


def test_the_option_gives_consent_and_records_it(tmp_path):
    require(tmp_path, yes=True, environ={}, ask=never)
    assert read(tmp_path).source == "option"


def test_the_environment_gives_consent_and_writes_nothing(tmp_path):
    require(tmp_path, yes=False, environ={"PROBE_CONSENT": " Yes "}, ask=never)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("word", ["", "no", "NO"])
def test_only_the_word_yes_in_the_environment_is_consent(tmp_path, word):
    with pytest.raises(ConsentMissing):
        require(tmp_path, yes=False, environ={"PROBE_CONSENT": word}, ask=None)


@pytest.mark.parametrize("word", ["1", "true", "ja", "yes!"])
def test_another_word_in_the_environment_is_not_guessed_at(tmp_path, word):
    with pytest.raises(CommandError, match="expected yes or no") as caught:
        require(tmp_path, yes=True, environ={"PROBE_CONSENT": word}, ask=never)
    assert caught.value.status is Status.USAGE


def test_a_yes_to_the_question_is_recorded(tmp_path):
    require(tmp_path, yes=False, environ={}, ask=lambda: True)
    assert read(tmp_path).source == "question"


def test_a_no_to_the_question_ends_it_and_records_nothing(tmp_path):
    with pytest.raises(ConsentMissing):
        require(tmp_path, yes=False, environ={}, ask=lambda: False)
    assert not list(tmp_path.iterdir())


def test_without_a_terminal_the_answer_is_one_sentence_that_says_how(tmp_path):
    with pytest.raises(ConsentMissing) as caught:
        require(tmp_path, yes=False, environ={}, ask=None)
    assert caught.value.status is Status.USAGE
    assert "\n" not in str(caught.value)
    assert "--yes" in str(caught.value)
    assert "PROBE_CONSENT=yes" in str(caught.value)


def test_the_text_has_five_points_that_fit_a_terminal():
    points = [line for line in consent.TEXT.splitlines() if line[:2].rstrip(".").isdigit()]
    assert [line[0] for line in points] == ["1", "2", "3", "4", "5"]
    assert max(map(len, consent.TEXT.splitlines())) <= 100
    assert len(consent.TEXT.splitlines()) <= 24


ASKING = "from probe.consent import ask_or_require; ask_or_require(yes=False); print('measuring')"


def run_at_a_terminal(home, answer):
    """Run the question in a process with its own terminal; give what it showed and its status."""
    ours, theirs = pty.openpty()
    environ = {**os.environ, "XDG_CONFIG_HOME": str(home), "PROBE_CONSENT": ""}
    with subprocess.Popen(
        [sys.executable, "-c", ASKING], stdin=theirs, stdout=theirs, stderr=theirs, env=environ
    ) as process:
        os.close(theirs)
        os.write(ours, answer)
        shown = b""
        try:
            while chunk := os.read(ours, 4096):
                shown += chunk
        except OSError:  # how Linux says that the other side of a terminal has closed
            pass
        process.wait(timeout=30)
    os.close(ours)
    return shown.decode(), process.returncode


def test_at_a_terminal_the_text_is_shown_and_a_yes_goes_on(tmp_path):
    shown, status = run_at_a_terminal(tmp_path, b"y\n")
    assert "five things to know" in shown
    assert "measuring" in shown
    assert status == 0
    assert read(tmp_path / "throttle-probe").source == "question"


def test_at_a_terminal_plain_enter_is_no(tmp_path):
    shown, status = run_at_a_terminal(tmp_path, b"\n")
    assert "measuring" not in shown
    assert "ConsentMissing" in shown
    assert status == 1


def test_with_input_from_a_file_nothing_is_asked(tmp_path):
    environ = {**os.environ, "XDG_CONFIG_HOME": str(tmp_path), "PROBE_CONSENT": ""}
    done = subprocess.run(
        [sys.executable, "-c", ASKING],
        input=b"y\n",
        capture_output=True,
        env=environ,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert b"five things" not in done.stderr
    assert b"no consent is recorded" in done.stderr
