"""The far end: our own server, which reflects call flows and serves bytes to fetch."""

from probe.farend.admission import Allowance
from probe.farend.reflector import ReflectorLimits
from probe.farend.serve import FarEndConfig, RunningFarEnd, serve
from probe.farend.webrtc import WebRtcLimits

__all__ = ["Allowance", "FarEndConfig", "ReflectorLimits", "RunningFarEnd", "WebRtcLimits", "serve"]
