"""A WebRTC call through the far end's own TURN servers, as far as no server is needed."""

import msgspec
from plans import plan_of, targets

from probe.services import FarEnd
from probe.session_kinds import CallSession


def test_a_webrtc_call_goes_directly_and_through_each_turn_server() -> None:
    turns = ("turn:far.example:3478?transport=udp", "turn:far.example:1400")
    given = targets(FarEnd(url="https://far.example:443", calls=(599,), turn=turns))
    (call,) = given.services["telegram"].call
    webrtc = msgspec.structs.replace(call, shapes=("telegram", "webrtc"), relays=())
    service = msgspec.structs.replace(given.services["telegram"], call=(webrtc,))
    given.services["telegram"] = service
    sessions = plan_of(given, only=("telegram",), kinds=("call",)).sessions
    paths = [(s.shape, s.turn) for s in sessions if isinstance(s, CallSession)]
    assert paths == [("telegram", None), ("webrtc", None), *(("webrtc", turn) for turn in turns)]
    assert "far.example:3478/udp" in sessions[2].hosts
    assert "far.example:3478/udp" not in sessions[1].hosts
