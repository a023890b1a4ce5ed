"""``probe lab`` as a user calls it."""

import json
import os
import signal
import subprocess
import sys

import pytest

from probe.lab import presets

PROBE = [sys.executable, "-m", "probe.cli", "lab"]


def lab(*words, **options):
    return subprocess.run(
        [*PROBE, *words], capture_output=True, text=True, timeout=60, check=False, **options
    )


def test_the_list_names_every_preset_and_its_engines():
    shown = lab("list")
    assert shown.returncode == 0
    lines = [line for line in shown.stdout.splitlines() if not line.startswith(" ")]
    assert [line.split()[0] for line in lines] == list(presets.load())
    assert any(line.split()[:2] == ["dns-tampering", "netns"] for line in lines)


def test_the_list_says_what_is_to_be_found_behind_each_preset():
    lines = [line.strip() for line in lab("list").stdout.splitlines()]
    at = next(i for i, line in enumerate(lines) if line.startswith("partial "))
    assert lines[at + 1].startswith("twitter fetch: throttled or normal or inconclusive")


def test_the_list_for_programs_says_what_is_to_be_found():
    rows = [json.loads(line) for line in lab("list", "--json").stdout.splitlines()]
    assert [row["name"] for row in rows] == list(presets.load())
    (partial,) = (row for row in rows if row["name"] == "partial")
    assert partial["probability"] == 0.33
    assert partial["expected"][0]["accept"] == ["normal", "inconclusive"]
    assert partial["services"]["whatsapp"] == ["fetch", "reach", "call"]


def test_presets_that_were_drawn_are_a_file_to_run_behind(tmp_path):
    file = tmp_path / "drawn.json"
    file.write_text(lab("vary", "--seed", "7").stdout)
    assert lab("run", "--presets", str(file), "clean@7.1", "--", "true").returncode == 0


@pytest.mark.parametrize("status", [0, 5])
def test_the_exit_status_of_the_command_is_passed_on(status):
    assert lab("run", "clean", "--", "sh", "-c", f"exit {status}").returncode == status


def test_a_command_that_a_signal_ends_has_the_status_a_shell_gives():
    assert lab("run", "clean", "--", "sh", "-c", "kill -KILL $$").returncode == 128 + 9


def test_the_command_finds_the_lab_in_its_environment():
    script = 'test -f "$PROBE_TARGETS" && test -f "$SSL_CERT_FILE" && echo "$PROBE_CONNECT_TO"'
    shown = lab("run", "clean", "--", "sh", "-c", script)
    assert shown.returncode == 0
    assert "abs.twimg.com:443=127." in shown.stdout


def test_a_file_of_ones_own_is_read(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(
        "[lines.a]\nrate_down_bps = 1e6\nrate_up_bps = 1e6\nrtt_s = 0.1\n"
        '[presets.mine]\ntitle = "Mine"\nsource = "me"\nline = "a"\n'
    )
    assert "Mine" in lab("list", "--presets", str(file)).stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("run", "clan", "--", "true"), "did you mean 'clean'"),
        (("run", "clean", "--", "no-such-program"), "cannot be run"),
        (("run", "--engine", "loopback", "dns-tampering", "--", "true"), "leave --engine out"),
    ],
)
def test_a_mistake_is_one_sentence_and_status_2(words, message):
    shown = lab(*words)
    assert shown.returncode == 2
    assert message in shown.stderr
    assert len(shown.stderr.splitlines()) == 1


def test_a_wrong_presets_file_is_one_sentence_and_status_2(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text("[presets.x]\n")
    shown = lab("list", "--presets", str(file))
    assert (shown.returncode, len(shown.stderr.splitlines())) == (2, 1)


def test_an_interrupt_is_left_to_the_command_and_the_lab_is_taken_down(tmp_path):
    script = "trap 'exit 130' INT; echo ready; while :; do sleep 0.1; done"
    process = subprocess.Popen(
        [*PROBE, "run", "clean", "--", "sh", "-c", script],
        stdout=subprocess.PIPE,
        start_new_session=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(30) == 130
    assert not list(tmp_path.iterdir())
