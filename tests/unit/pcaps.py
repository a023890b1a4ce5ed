"""Writes small packet captures, as tcpdump at a sender would."""

import struct

CLIENT, SERVER = bytes([10, 0, 0, 1]), bytes([10, 0, 0, 4])
SYN, ACK = 0x02, 0x10


def packet(t_s, to, seq, ack, *, payload=0, flags=ACK, sack=False):
    source, target, ports = (
        (SERVER, CLIENT, (1234, 10047)) if to == CLIENT else (CLIENT, SERVER, (10047, 1234))
    )
    options = struct.pack(">BBBBII", 1, 1, 5, 10, 1, 2) if sack else b""
    tcp = struct.pack(
        ">HHIIHHHH", *ports, seq % 2**32, ack % 2**32,
        ((20 + len(options)) // 4 << 12) | flags, 65535, 0, 0,
    ) + options  # fmt: skip
    total = 20 + len(tcp) + payload
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, total, 0, 0, 64, 6, 0, source, target)
    frame = bytes(12) + b"\x08\x00" + ip + tcp + bytes(payload)
    head = struct.pack("<IIII", int(t_s), round(t_s % 1 * 1e6), len(frame), len(frame))
    return head + frame


def capture(packets):
    header = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    return header + b"".join(packets)


def transfer(segments, rtt_s=0.1, base=2**32 - 5000, lost=()):
    """One request and its answer; a lost segment is repaired one round trip later."""
    out = [
        packet(0.0, SERVER, 99, 0, flags=SYN),
        packet(0.0, CLIENT, base - 1, 100, flags=SYN | ACK),
        packet(0.1, SERVER, 100, base, payload=8),
    ]
    begin, missing = base, None
    for i in range(segments):
        t = 0.2 + 0.05 * i
        seq = begin + 1448 * i
        out.append(packet(t, CLIENT, seq, 108, payload=1448))
        if missing is not None:
            out.append(packet(t + 0.01, CLIENT, missing, 108, payload=1448))
            out.append(packet(t + rtt_s, SERVER, 108, seq + 1448))
            missing = None
        elif i in lost:
            missing = seq
            out.append(packet(t + rtt_s, SERVER, 108, seq, sack=True))
        else:
            out.append(packet(t + rtt_s, SERVER, 108, seq + 1448))
    return sorted(out, key=lambda raw: struct.unpack_from("<II", raw))
