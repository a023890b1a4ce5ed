"""The report is one page that fetches nothing and believes nothing it shows."""

import re
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest
from builders import call, fetch, policed, session
from rows import DAY_S, START_S
from test_events import ONSET_DAY, network

from analysis.data import open_data
from analysis.dataset import Incoming, build
from analysis.detect import detect
from analysis.importers import Imported
from analysis.report import write
from analysis.verdict import judge
from probe.measurement import Vantage, encode

EVIL = "<script>alert(1)</script>$x^2$'\"&amp;"
MADE = datetime(2026, 11, 21, 12, tzinfo=UTC)


def page(tmp_path, records):
    folder = tmp_path / "data" / "new"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.jsonl").write_bytes(b"".join(encode(record) + b"\n" for record in records))
    data = open_data([str(tmp_path / "data")], judge)
    path = write(tmp_path / "report", data, detect(data), MADE)
    return path.read_text(encoding="utf-8")


def throttled(**fields):
    vantage = Vantage(country="RU", asn=64496, network=fields.pop("network", "An Operator"))
    named = {"vantage": vantage, **fields}
    targets = [policed(n, **named) for n in range(4)]
    return session(targets, **named)


class Tags(HTMLParser):
    """Every tag and attribute of a page."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def test_names_in_records_are_shown_and_not_run(tmp_path):
    text = page(tmp_path, throttled(service=EVIL, network=EVIL))
    tags = Tags(text).found
    assert "script" not in {tag for tag, _ in tags}
    assert "&lt;script&gt;alert(1)&lt;/script&gt;$x^2$" in text
    assert not [name for _, attrs in tags for name in attrs if name.startswith("on")]


def test_the_policy_forbids_everything_but_the_pages_own_style(tmp_path):
    text = page(tmp_path, throttled())
    policy = next(
        attrs["content"]
        for tag, attrs in Tags(text).found
        if "http-equiv" in attrs and tag == "meta"
    )
    assert "default-src 'none'" in policy
    assert "script" not in policy
    assert re.search(r"style-src-elem 'sha256-[A-Za-z0-9+/=]{44}'", policy)


def test_nothing_is_fetched_from_elsewhere(tmp_path):
    for _, attrs in Tags(page(tmp_path, throttled())).found:
        for name in ("src", "href", "xlink:href", "data", "action"):
            assert (attrs.get(name) or "#").startswith("#")
        assert "url(http" not in (attrs.get("style") or "")


def test_identifiers_of_figures_do_not_meet(tmp_path):
    text = page(tmp_path, throttled() + throttled(service="youtube", session="other"))
    names = [attrs["id"] for _, attrs in Tags(text).found if "id" in attrs]
    assert len(names) == len(set(names))


def test_references_within_a_figure_still_meet(tmp_path):
    text = page(tmp_path, throttled())
    names = {attrs["id"] for _, attrs in Tags(text).found if "id" in attrs}
    assert set(re.findall(r'(?:url\(#|xlink:href="#)([^)"]+)', text)) <= names


def test_the_verdict_the_reason_and_the_figures_are_there(tmp_path):
    text = page(tmp_path, throttled())
    assert 'class="badge throttled"' in text
    assert re.search(r"held to 1[23]\d kbit/s", text)
    assert "Measured 2026-11-21 12:00 to" in text
    assert "RU AS64496" in text


def test_the_same_data_give_the_same_page(tmp_path):
    assert page(tmp_path, throttled()) == page(tmp_path, throttled())


def test_lines_take_the_pages_colour_so_that_dark_pages_work(tmp_path):
    text = page(tmp_path, throttled())
    assert "currentColor" in text
    assert "#010203" not in text


def test_a_session_that_failed_everywhere_still_has_a_page(tmp_path):
    records = [
        fetch(arm, 0, failure="connection_reset", arrivals=([], []))
        for arm in ("target", "control")
    ]
    assert "<h1>" in page(tmp_path, records)


@pytest.mark.parametrize("peer", ["far_end", "relay"])
def test_calls_are_drawn_by_direction_where_loss_has_one(tmp_path, peer):
    text = page(tmp_path, _calls(peer))
    assert "packets lost" in text
    assert ("either way" in text) == (peer == "relay")


def _calls(peer):
    fate = "lost_up" if peer == "far_end" else "lost"
    spoiled = [fate if n % 3 == 0 else "ok" for n in range(333)]
    return [
        record
        for number in range(2)
        for record in (
            call("target", number, spoiled, peer=peer),
            call("control", number, peer=peer),
        )
    ]


def test_late_data_that_move_an_event_are_mentioned_in_the_next_report(tmp_path):
    rows = network(1)
    cut = START_S + ONSET_DAY * DAY_S
    early = [row for row in rows if not cut <= row.start_s < cut + 2 * DAY_S]
    first, second = (_report(tmp_path, name, part) for name, part in (("a", early), ("b", rows)))
    assert "late data" not in first
    assert "onset of twitter in RU AS1, told earlier for 2021-01-23 00:00 UTC" in second


def _report(tmp_path, name, rows):
    folder = tmp_path / name
    read = Imported(path=None, source=name, trials=[], sessions=rows, skipped=[])
    build(folder, [Incoming(name, name, "test", lambda: read)])
    data = open_data([str(folder)], judge)
    return write(tmp_path / "report", data, detect(data), MADE).read_text(encoding="utf-8")
