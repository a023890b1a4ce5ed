"""Uploads are a matter of their own: never judged, merged or shown with downloads."""

from datetime import timedelta

import msgspec
import pytest
from builders import fetch, policed, session, trial

from analysis.fetches import figures
from analysis.ingest import session_row
from analysis.merge import merge
from analysis.verdict import judge
from analysis.wording import describe
from probe.measurement import TcpInfo

UP = {"method": "POST", "direction": "up"}


def up(build=fetch, number=0, **fields):
    return build(number=number, control_kind="B", fetch_fields=UP, **fields)


def uploads(build=fetch, **fields):
    targets = [up(build, number, **fields) for number in range(3)]
    return session(targets, control_kind="B", fetch_fields=UP)


def test_a_policed_upload_is_a_finding_of_its_own():
    finding = judge(uploads(policed))
    assert (finding.kind, finding.verdict, finding.grade) == ("upload", "throttled", "B")
    assert finding.why.startswith("twitter upload is ")


def test_uploads_and_downloads_are_not_judged_in_one_session():
    with pytest.raises(ValueError, match="found twitter fetch, twitter upload"):
        judge([*uploads(), *session([fetch()])])


def test_findings_of_both_stay_apart_when_merged():
    later = [
        msgspec.structs.replace(t, start=t.start + timedelta(hours=1)) for t in uploads(policed)
    ]
    merged = merge([judge(session([fetch(number=n) for n in range(3)])), judge(later)])
    assert [(f.kind, f.verdict) for f in merged] == [("fetch", "normal"), ("upload", "throttled")]


def test_the_rows_of_a_dataset_and_the_words_of_the_table_name_them():
    trials = uploads()
    finding = judge(trials)
    assert session_row(trials, finding, "source", "probe").kind == "upload"
    words = describe(finding, trials)
    assert words.figures == "15 against 15 Mbit/s"
    assert words.detail.startswith("cleared at 2x slower")


def test_of_an_upload_our_own_kernel_says_what_was_lost_and_how_round_trips_grew():
    info = TcpInfo(
        t_s=1.0,
        rtt_s=0.3,
        min_rtt_s=0.1,
        bytes_acked=90_000,
        snd_mss_bytes=1000,
        retransmits=10,
        rcv_ooopack=50,
        data_segs_in=100,
    )
    both = [fetch(fetch_fields={**fields, "tcp_info": (info,)}) for fields in ({}, UP)]
    down, upward = map(figures, both)
    assert (down.out_of_order_ratio, upward.out_of_order_ratio) == (0.5, 0.1)
    assert down.rtt_ratio == pytest.approx(1.0)
    assert upward.rtt_ratio == pytest.approx(3.0)


def test_a_freeze_test_is_no_upload_though_it_sends():
    pushed = msgspec.structs.replace(
        fetch().fetch, method="HEAD", direction="up", test="freeze_bytes"
    )
    assert trial("fetch", fetch=pushed).subject == "fetch"
