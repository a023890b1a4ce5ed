"""Captures read as their receiver saw them, and the rows made of labelled ones."""

import lzma
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pcaps import capture, transfer

from analysis.evaluate.capture_rows import Label, evaluate, labels, look, split
from analysis.evaluate.captures_read import CaptureError, transfers
from analysis.fetches import out_of_order_ratio, rtt_ratio
from analysis.onset import onset

REAL = Path(__file__).parents[3] / "shared" / "data" / "policing"
HEADER = "file,kind,rate_bps,bucket_bytes,rtt_ms,flows\n"


def written(folder, packets, name="one.pcap.xz"):
    raw = capture(packets)
    path = folder / name
    path.write_bytes(lzma.compress(raw) if name.endswith("xz") else raw)
    return path


@pytest.mark.parametrize("name", ["one.pcap", "one.pcap.xz"])
def test_acknowledged_bytes_are_what_the_receiver_had(tmp_path, name):
    ((fetch,),) = transfers(written(tmp_path, transfer(60), name))
    assert fetch.body_bytes == 60 * 1448
    assert fetch.timeline.bytes[-1] == fetch.body_bytes
    assert list(fetch.timeline.bytes) == sorted(fetch.timeline.bytes)
    assert fetch.idle_rtt_s == pytest.approx(0.1, abs=1e-5)
    assert rtt_ratio(fetch) == pytest.approx(1.0, abs=1e-3)


def test_selective_acknowledgements_are_arrivals_out_of_order(tmp_path):
    ((fetch,),) = transfers(written(tmp_path, transfer(60, lost={20, 40})))
    assert fetch.tcp_info[-1].rcv_ooopack == 2
    assert out_of_order_ratio(fetch) == pytest.approx(2 / 60)


def test_the_place_of_the_first_loss_is_known_to_the_segment(tmp_path):
    ((fetch,),) = transfers(written(tmp_path, transfer(60, lost={20, 40})))
    found = onset(fetch)
    assert found.segments == 20
    assert found.ratio == pytest.approx(2 / 40)


def test_a_connection_with_too_few_bytes_is_no_transfer(tmp_path):
    assert transfers(written(tmp_path, transfer(20))) == []


@pytest.mark.parametrize("raw", [b"", b"not a capture at all, but long enough"])
def test_what_is_not_a_capture_is_refused(tmp_path, raw):
    path = tmp_path / "bad.pcap"
    path.write_bytes(raw)
    with pytest.raises(CaptureError, match="no little-endian pcap header"):
        transfers(path)


def test_a_capture_that_is_cut_off_is_refused(tmp_path):
    path = tmp_path / "cut.pcap"
    path.write_bytes(capture(transfer(60))[:-10])
    with pytest.raises(CaptureError, match="cut off"):
        transfers(path)


@given(st.binary(max_size=300))
def test_any_bytes_after_the_header_are_read_or_refused(tmp_path_factory, junk):
    path = tmp_path_factory.mktemp("junk") / "junk.pcap"
    path.write_bytes(capture([junk]))
    with suppress(CaptureError):
        assert transfers(path) == []


def test_the_split_depends_on_the_name_alone_and_is_about_even():
    halves = [split(f"policed-{n}.pcap.xz") for n in range(400)]
    assert 160 < halves.count("report") < 240
    assert split("a") == split("a")


def test_a_folder_without_labels_is_refused(tmp_path):
    with pytest.raises(CaptureError, match=r"labels\.csv"):
        evaluate(tmp_path)
    (tmp_path / "labels.csv").write_text("file,kind\na,b\n")
    with pytest.raises(CaptureError, match="expected the columns"):
        evaluate(tmp_path)


def test_a_folder_is_reported_row_by_row(tmp_path):
    lines = []
    for n in range(4):
        written(tmp_path, transfer(60), f"{n}.pcap.xz")
        lines.append(f"{n}.pcap.xz,shaped,500000,8000,100,1\n")
    (tmp_path / "labels.csv").write_text(HEADER + "".join(lines))
    assert labels(tmp_path)[0] == Label("0.pcap.xz", "shaped", 500000, 8000, 1, 100.0)
    text = evaluate(tmp_path).text()
    assert "other traces called policed | 0 % (0 of" in text
    assert "policed traces found, one flow | none measured" in text


@pytest.mark.skipif(not REAL.exists(), reason=f"no labelled captures in {REAL.name}/")
def test_a_real_policer_is_found_with_its_rate_and_a_real_shaper_is_not():
    known = {label.kind: label for label in labels(REAL) if label.flows == 1}
    policed = next(
        label
        for label in labels(REAL)
        if (label.kind, label.flows, label.rate_bps) == ("policed", 1, 500_000)
        and label.bucket_bytes == 100_000
    )
    seen = look(REAL, policed)
    assert seen.found
    assert seen.rate.value == pytest.approx(500_000, rel=0.05)
    assert not look(REAL, known["shaped"]).found
