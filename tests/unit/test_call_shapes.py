"""What the packets look like, to a filter and to the far end."""

import random
import re
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.call import stun
from probe.call.profiles import INTERVAL_S, packets, sizes
from probe.call.shapes import SHAPES, Lane
from probe.call.wire import MEDIA_BODY_BYTES

UP = Lane(b"k" * 16, "up", 0.06)
DOWN = Lane(b"k" * 16, "down", 0.06)
ASKER = ("192.0.2.7", 40000)
SHAPED = [shape for name, shape in SHAPES.items() if name != "random"]


def by_name(shape):
    return shape.name


@pytest.mark.parametrize("asker", [ASKER, ("2001:db8::7", 40000)], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize("shape", SHAPED, ids=by_name)
def test_every_exchange_has_the_length_it_announces_and_is_answered(shape, asker):
    for index, exchange in enumerate(shape.exchanges(20)):
        request = shape.request(UP, index)
        answer = shape.answer(DOWN, request, asker, 1_700_000_000.0)
        assert (len(request), len(answer)) == (exchange.request_bytes, exchange.reply_bytes)
        assert shape.answers(request, answer)
        assert not shape.answers(request, bytes(len(answer)))


@pytest.mark.parametrize("shape", SHAPES.values(), ids=by_name)
def test_a_head_has_its_length_and_is_the_same_each_time(shape):
    for lane in (UP, DOWN):
        assert len(shape.head(lane, 5)) == shape.head_bytes
        assert shape.head(lane, 5) == shape.head(lane, 5)


@pytest.mark.parametrize("profile", INTERVAL_S)
@pytest.mark.parametrize("like", SHAPES)
def test_every_size_has_room_for_our_fields_behind_any_shape_it_is_used_with(profile, like):
    for shape in (SHAPES[like], SHAPES["random"]):
        room = min(sizes(profile, like, 500, seed=3)) - shape.head_bytes
        assert room >= MEDIA_BODY_BYTES


def test_rtp_counts_sequence_and_media_time_up():
    heads = [struct.unpack(">BBHII", SHAPES["rtp"].head(UP, seq)) for seq in range(3)]
    assert [head[0] for head in heads] == [0x80] * 3
    assert [head[1] for head in heads] == [0x80 | 111, 111, 111]
    assert [(head[2] - heads[0][2]) & 0xFFFF for head in heads] == [0, 1, 2]
    assert [(head[3] - heads[0][3]) & 0xFFFFFFFF for head in heads] == [0, 2880, 5760]
    assert len({head[4] for head in heads}) == 1


def test_rtp_sources_differ_between_directions():
    assert SHAPES["rtp"].head(UP, 0)[8:] != SHAPES["rtp"].head(DOWN, 0)[8:]


def test_telegram_hello_has_a_run_of_exactly_twelve_ff_behind_the_tag():
    hello = SHAPES["telegram"].request(UP, 0)
    assert re.fullmatch(rb"(?s).{16}\xff{12}\xfe\xff\xff\xff.{8}", hello)
    answer = SHAPES["telegram"].answer(DOWN, hello, ASKER, 1_700_000_000.9)
    assert answer[16:32] == b"\xff" * 12 + struct.pack("<I", 0xC01572C7)
    assert struct.unpack("<I", answer[32:36])[0] == 1_700_000_000
    assert answer[44:60] == bytes(10) + b"\xff\xff" + bytes([192, 0, 2, 7])


def test_telegram_tags_tell_the_sides_apart_by_the_last_bit_only():
    up, down = (SHAPES["telegram"].head(lane, 9) for lane in (UP, DOWN))
    assert up[:15] == down[:15]
    assert up[15] ^ down[15] == 1


def test_telegram_packets_are_multiples_of_sixteen():
    for profile in INTERVAL_S:
        assert all(size % 16 == 0 for size in sizes(profile, "telegram", 200, seed=1))


def test_whatsapp_pings_every_three_seconds_and_media_is_type_120_with_its_extension():
    shape = SHAPES["whatsapp"]
    assert [exchange.at_s for exchange in shape.exchanges(10)] == [None, None, 3.0, 6.0, 9.0]
    ping = shape.request(UP, 1)
    assert ping[:8].hex() == "080100002112a442"
    assert shape.answer(DOWN, ping, ASKER, 0.0) == b"\x08\x02" + ping[2:]
    head = shape.head(UP, 1)
    assert (head[0], head[1], head[12:]) == (0x90, 120, bytes.fromhex("debe0000"))


def test_signal_is_asked_for_credentials_in_its_own_realm():
    shape = SHAPES["signal"]
    answer = stun.decode(shape.answer(DOWN, shape.request(UP, 1), ASKER, 0.0))
    assert answer.type == stun.ALLOCATE_ERROR
    assert answer.get(stun.REALM) == b"signal.org"


def test_an_ice_check_under_another_flows_password_is_not_answered():
    other = Lane(b"x" * 16, "up", 0.06)
    shape = SHAPES["stun-rtp"]
    assert shape.answer(DOWN, shape.request(other, 0), ASKER, 0.0) is None


@pytest.mark.parametrize("shape", SHAPES.values(), ids=by_name)
@given(
    data=st.binary(max_size=300)
    | st.binary(max_size=100).map(lambda b: stun.binding_request(b"\0" * 12) + b)
)
def test_no_bytes_at_all_make_a_shape_stumble(shape, data):
    answer = shape.answer(DOWN, data, ASKER, 0.0)
    assert answer is None or len(answer) <= 92


def test_the_same_seed_gives_both_flows_the_same_sizes():
    assert sizes("voip-60", "whatsapp", 333, 5) == sizes("voip-60", "whatsapp", 333, 5)
    assert sizes("voip-60", "whatsapp", 333, 5) != sizes("voip-60", "whatsapp", 333, 6)


def test_twenty_seconds_are_333_or_1000_packets():
    assert packets("voip-60", 20) == 333
    assert packets("voip-20", 20) == 1000
    assert set(sizes("voip-20", "rtp", 10, 0)) == {172}


def test_sizes_follow_the_captures():
    telegram = sorted(sizes("voip-60", "telegram", 2001, random.Random(1).getrandbits(32)))
    assert (telegram[0], telegram[-1]) == (144, 272)
    assert 192 <= telegram[1000] <= 208
