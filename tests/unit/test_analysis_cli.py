"""The analysis command line: quick help, one sentence a mistake, the statuses of the contract."""

import json
import subprocess
import sys

import pytest
from builders import fetch, session
from test_import_twitter2021 import GOOD, HEADER

from analysis.cli import FORMATS, PLOTS, run
from analysis.importers import FORMATS as IMPORTERS
from analysis.plots import KINDS
from probe.measurement import encode

HEAVY = ("numpy", "scipy", "duckdb", "ibis", "pyarrow", "pandas", "matplotlib", "jinja2")


@pytest.fixture
def data(tmp_path):
    """A probe's data folder: a throttled service, and one that is not."""
    slow = session([fetch(number=n, bps=128e3, session="slow") for n in range(4)], session="slow")
    named = {"session": "fine", "service": "youtube"}
    fine = session([fetch(number=n, **named) for n in range(6)], **named)
    folder = tmp_path / "data"
    (folder / "new").mkdir(parents=True)
    lines = b"".join(encode(record) + b"\n" for record in [*slow, *fine])
    (folder / "new" / "run.jsonl").write_bytes(lines)
    return folder


@pytest.fixture
def crowd(tmp_path):
    """A CSV of tests: 12 lines, half of them held to 110 kbit/s."""
    lines = [
        GOOD.replace("192.0.2.0,", f"198.51.{n}.0,").replace("108.24", "110.1" if n % 2 else "2600")
        for n in range(12)
    ]
    path = tmp_path / "tests.csv"
    path.write_text("\n".join([HEADER, *lines]) + "\n")
    return path


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from analysis.cli import run; run(['--help']); "
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_words_of_the_command_line_are_those_there_are():
    assert set(PLOTS) == set(KINDS)
    assert set(FORMATS) == set(IMPORTERS)


def test_detect_prints_one_line_a_finding(data, capsys):
    assert run(["detect", str(data)]) == 0
    out, err = capsys.readouterr()
    assert [line.split()[0] for line in out.splitlines()] == ["twitter", "youtube"]
    assert "THROTTLED" in out
    assert err == ""


def test_detect_json_has_exactly_the_fields_of_the_contract(data, capsys):
    run(["detect", "--json", str(data)])
    finding = json.loads(capsys.readouterr().out.splitlines()[0])
    assert list(finding) == [
        *("service", "kind", "country", "asn", "network", "window", "sessions", "pairs", "grade"),
        *("verdict", "mechanism", "rate_bps", "slowdown", "since", "until", "log_odds", "why"),
    ]
    assert finding["window"]["start"].endswith("Z")


def test_a_finding_is_an_error_only_when_asked(data):
    assert run(["detect", str(data)]) == 0
    assert run(["detect", "--exit-on-finding", str(data)]) == 5


def test_options_come_from_the_environment_too(data, monkeypatch):
    monkeypatch.setenv("ANALYSIS_EXIT_ON_FINDING", "1")
    assert run(["detect", str(data)]) == 5
    monkeypatch.delenv("ANALYSIS_EXIT_ON_FINDING")
    monkeypatch.setenv("PROBE_EXIT_ON_FINDING", "1")
    assert run(["detect", str(data)]) == 5


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["detect", "nowhere"], "analysis: found no nowhere, expected a probe's data folder"),
        (["detect", "https://host/data"], "analysis: found the URL https://host/data, expected"),
        (["detect"], "Missing argument 'DATA...'"),
        (["import", "twiter2021", "x", "-o", "y"], "did you mean twitter2021?"),
        (["import", "twitter2021", "nowhere", "-o", "y"], "analysis: found no nowhere"),
        (["plot", "rate", "x", "-o", "y.svg"], "did you mean rates?"),
        (
            ["plot", "rates", "x", "-o", "y.gif"],
            "found the file y.gif, expected a name that ends in",
        ),
    ],
)
def test_a_mistake_is_one_sentence_and_status_2(words, sentence, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert sentence in err
    assert "Traceback" not in err


def test_an_empty_data_folder_says_what_to_do(tmp_path, capsys):
    (tmp_path / "new").mkdir()
    assert run(["detect", str(tmp_path)]) == 2
    assert "run the probe first" in capsys.readouterr().err


def test_debug_shows_where(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(["detect", "nowhere", "--debug"])
    assert "Traceback" in capsys.readouterr().err


def test_bad_lines_are_told_on_stderr_unless_quiet(data, capsys):
    path = data / "new" / "run.jsonl"
    path.write_bytes(b"junk\n" + path.read_bytes() + b'{"torn')
    run(["detect", str(data)])
    err = capsys.readouterr().err
    assert f"{path}:1: found a line that is not JSON" in err
    assert "passed over 1 line" in err
    assert "unfinished last line" in err
    run(["detect", "-q", str(data)])
    assert capsys.readouterr().err == ""


def test_a_crowds_tests_become_a_finding(crowd, tmp_path, capsys):
    folder = str(tmp_path / "dataset")
    assert run(["import", "twitter2021", str(crowd), "-o", folder]) == 0
    out, err = capsys.readouterr()
    assert out == folder + "\n"
    assert "1 files added" in err
    assert run(["detect", "--json", folder]) == 0
    finding = json.loads(capsys.readouterr().out)
    assert (finding["verdict"], finding["sessions"], finding["grade"]) == ("throttled", 12, "C")
    assert finding["rate_bps"]["value"] == pytest.approx(110_100, rel=0.02)


def test_runs_in_a_dataset_give_the_findings_they_give_themselves(data, tmp_path, capsys):
    folder = str(tmp_path / "dataset")
    assert run(["import", "runs", str(data), "-o", folder, "-q"]) == 0
    capsys.readouterr()
    run(["detect", "--json", str(data)])
    direct = capsys.readouterr().out
    run(["detect", "--json", folder])
    assert capsys.readouterr().out == direct


def test_a_report_holds_its_page_and_its_findings(data, tmp_path, capsys):
    folder = tmp_path / "report"
    assert run(["report", str(data), "-o", str(folder)]) == 0
    assert capsys.readouterr().out.strip() == str(folder / "index.html")
    assert len((folder / "findings.jsonl").read_text().splitlines()) == 2


@pytest.mark.parametrize("kind", ["goodput", "timeline"])
def test_plots_of_trials_are_drawn(data, tmp_path, kind):
    path = tmp_path / "plot.svg"
    assert run(["plot", kind, str(data), "-o", str(path), "--service", "twitter"]) == 0
    assert path.read_text().count("<svg") == 1


def test_a_plot_of_several_services_asks_which(data, tmp_path, capsys):
    assert run(["plot", "goodput", str(data), "-o", str(tmp_path / "plot.svg")]) == 2
    assert "expected --service with one of: twitter, youtube" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["areas", "rates", "days"])
def test_plots_of_crowds_are_drawn(crowd, tmp_path, kind):
    folder = str(tmp_path / "dataset")
    run(["import", "twitter2021", str(crowd), "-o", folder, "-q"])
    path = tmp_path / "plot.png"
    assert run(["plot", kind, folder, "-o", str(path)]) == 0
    assert path.read_bytes().startswith(b"\x89PNG")
