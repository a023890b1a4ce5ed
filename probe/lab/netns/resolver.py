"""The resolver of the lab's world: answers for the lab's names and for no other.

Run as ``python -m probe.lab.netns.resolver ADDRESS`` inside the world's namespace.
"""

from __future__ import annotations

import socket
import sys

from probe.lab.netns import dns
from probe.lab.netns.servers import names


def main() -> None:
    """Answer until killed."""
    known = names()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((sys.argv[1], dns.PORT))
        while True:
            message, client = server.recvfrom(512)
            query = dns.parse(message)
            if query is not None:
                server.sendto(dns.answer(query, known.get(query.name)), client)


if __name__ == "__main__":
    main()
