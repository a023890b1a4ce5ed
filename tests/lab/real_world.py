"""A street with a censor made of Debian's own parts: nothing of the project but the probe in it.

    home --veth-- router --long wire-- world

The kernel's TCP runs at both ends. The router marks connections whose packets hold a server name
(``iptables -m string``) and polices those (nftables ``limit rate over``). The world is nginx, with
HTTP/1.1 and HTTP/2, and coturn, on an address for each name.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import long_wire
import trustme

TOOLS = ("ip", "tc", "iptables", "nft", "nginx", "turnserver", "sysctl")
# TEST-NET-2 and TEST-NET-3 of RFC 5737: no such address is in use anywhere.
HOME, GATEWAY = "198.51.100.2", "198.51.100.1"
WORLD, EXIT = "203.0.113.254", "203.0.113.1"
STUN_PORT = 3478
FILE_BYTES = 480_000
MARK = "7"
# One way between the router and the world.
WIRE_S = 0.01
# What the home's line carries, and how long its modem queues.
LINE = ("rate", "20mbit", "burst", "16kb", "latency", "50ms")
# Plain STUN on the listening addresses alone: no TLS, no console, no relaying.
COTURN_QUIET = (
    *("-n", "--no-tls", "--no-dtls", "--no-cli", "--stun-only"),
    *("--pidfile", "/dev/null", "--log-file", "stdout"),
)

# A test's folder is root's alone, so the workers are root as well.
NGINX_CONF = """\
user root;
daemon off;
error_log {folder}/error.log info;
pid {folder}/nginx.pid;
events {{}}
http {{
    log_format ends '$server_addr $msec $connection_time $request_length $ssl_server_name $status';
    access_log {folder}/access.log ends;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    default_type application/octet-stream;
    server {{
        listen 443 ssl http2;
        ssl_certificate {folder}/chain.pem;
        ssl_certificate_key {folder}/key.pem;
        root {folder}/www;
    }}
}}
"""


def missing() -> str | None:
    """Say what this machine lacks for the street; None when nothing."""
    if os.geteuid() != 0:
        return "needs root to make network namespaces"
    if lacking := [tool for tool in TOOLS if not shutil.which(tool)]:
        return f"needs {', '.join(lacking)}"
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        return "needs /dev/net/tun"
    return None


@dataclass(frozen=True)
class Connection:
    """One connection as nginx logged it: Unix times in seconds, and who was asked for."""

    address: str
    opened_s: float
    closed_s: float
    server_name: str


@dataclass(frozen=True)
class Street:
    """A street that stands: the namespaces' names and where the servers write."""

    name: str
    folder: Path

    def place(self, place: str) -> str:
        """Name the namespace of ``home``, ``router`` or ``world``."""
        return f"{self.name}-{place}"

    def inside(self, place: str, *command: str) -> list[str]:
        """Put the words before a command that make it run in a place."""
        return ["ip", "netns", "exec", self.place(place), *command]

    def home(
        self, *command: str, environ: Mapping[str, str], timeout_s: float
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as someone at home does, to its end."""
        trust = {"SSL_CERT_FILE": str(self.folder / "ca.pem")}
        return subprocess.run(
            self.inside("home", *command),
            env={**os.environ, **trust, **environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def cut(self) -> None:
        """Take the wire between the router and the world away."""
        _configure(self.place("router"), "link set outside down")

    def police(self, server_name: str, kbytes_per_s: int, burst_kbytes: int) -> None:
        """Drop what a server sends over a rate, on connections that named it in the handshake."""
        mangle = ("iptables", "-t", "mangle", "-A", "FORWARD", "-i", "inside", "-p", "tcp")
        names = ("--dport", "443", "-m", "string", "--algo", "bm", "--string", server_name)
        marks = ("-j", "CONNMARK", "--set-mark", MARK)
        tool(*self.inside("router", *mangle, *names, *marks))
        rate = f"{kbytes_per_s} kbytes/second burst {burst_kbytes} kbytes"
        rules = f"""
            table ip censor {{
                chain forward {{
                    type filter hook forward priority filter;
                    iifname "outside" ct mark {MARK} limit rate over {rate} counter drop
                }}
            }}
        """
        tool(*self.inside("router", "nft", "-f", "-"), stdin=rules)

    def count_crowding(self) -> None:
        """Begin to count connections that are opened to an address which has two already."""
        syn = ("-i", "inside", "-p", "tcp", "--syn", "-m", "connlimit", "--connlimit-daddr")
        above = ("--connlimit-above", "2", "--connlimit-mask", "32")
        tool(*self.inside("router", "iptables", "-A", "FORWARD", *syn, *above))

    def crowding(self) -> int:
        """Read how many there were."""
        listing = tool(*self.inside("router", "iptables", "-vnxL", "FORWARD"))
        (rule,) = (line for line in listing.splitlines() if "#conn dst/32 > 2" in line)
        return int(rule.split()[0])

    def connections(self) -> list[Connection]:
        """Read what nginx logged of connections that carried a request, in the order they ended."""
        found = []
        for line in (self.folder / "access.log").read_text().splitlines():
            address, ended, lasted, _, server_name, _ = line.split()
            closed_s = float(ended)
            found.append(Connection(address, closed_s - float(lasted), closed_s, server_name))
        return found


@contextlib.contextmanager
def street(folder: Path, web: Mapping[str, str], relays: Mapping[str, str]) -> Iterator[Street]:
    """Lay a street, and take it away again whatever happens.

    Args:
        folder: An empty folder for the servers' files and logs.
        web: Host name to address of what nginx serves by TLS, each with a file ``/file.bin``.
        relays: Host name to address of what coturn answers on, at UDP port 3478.
    """
    laid = Street(f"street-{os.getpid():x}-{uuid.uuid4().hex[:6]}", folder)
    with contextlib.ExitStack() as ending:
        ending.callback(_clear, laid)
        for place in ("home", "router", "world"):
            tool("ip", "netns", "add", laid.place(place))
        ending.enter_context(_wire(laid))
        _lay(laid, {**web, **relays})
        _serve_files(laid, web)
        ending.enter_context(_peer(laid, ["nginx", "-c", str(folder / "nginx.conf")], "nginx"))
        if relays:
            listening = chain.from_iterable(("-L", address) for address in relays.values())
            coturn = ["turnserver", "-n", "-p", str(STUN_PORT), *listening, *COTURN_QUIET]
            log = str(folder / "coturn.log")
            ending.enter_context(
                _peer(laid, [*coturn, "--log-file", log, "--simple-log"], "coturn")
            )
        yield laid


def tool(*command: str, stdin: str = "") -> str:
    """Run one of the system's tools; its complaint is the error."""
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr or done.stdout}"
    return done.stdout


def _lay(laid: Street, hosts: Mapping[str, str]) -> None:
    home, router, world = (laid.place(place) for place in ("home", "router", "world"))
    for here in (home, router, world):
        _configure(here, "link set lo up")
    tool("ip", "netns", "exec", router, "sysctl", "-qw", "net.ipv4.ip_forward=1")
    # One segment a packet, as on a wire: a policer that drops 64 kB at once lets none by.
    _configure(router, f"link add inside gso_max_segs 1 type veth peer name eth0 netns {home}")
    _configure(home, "link set eth0 gso_max_segs 1")
    for here, device, address in (
        (router, "inside", GATEWAY),
        (home, "eth0", HOME),
        (router, "outside", EXIT),
        (world, "eth0", WORLD),
    ):
        _configure(here, f"addr add {address}/24 dev {device}", f"link set {device} up")
    _configure(home, f"route add default via {GATEWAY}")
    _configure(world, f"route add default via {EXIT}")
    _configure(world, *(f"addr add {address}/24 dev eth0" for address in hosts.values()))
    tool("tc", "-n", router, "qdisc", "add", "dev", "inside", "root", "tbf", *LINE)
    names = Path("/etc/netns", home)
    names.mkdir(parents=True)
    lines = (f"{address} {host}\n" for host, address in hosts.items())
    (names / "hosts").write_text("127.0.0.1 localhost\n" + "".join(lines))
    # There is no name server at home: a name outside the hosts file has to fail, and at once.
    (names / "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")


@contextlib.contextmanager
def _wire(laid: Street) -> Iterator[None]:
    """Lay the long wire; its devices go when its process ends."""
    near, far = (f"{end}{uuid.uuid4().hex[:10]}" for end in ("near", "far"))
    command = [sys.executable, long_wire.__file__, near, far, str(WIRE_S)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as wire:
        try:
            assert wire.stdout is not None
            assert wire.stdout.readline() == "laid\n", "the long wire could not be laid"
            for device, place, name in ((near, "router", "outside"), (far, "world", "eth0")):
                tool("ip", "link", "set", device, "netns", laid.place(place), "name", name)
            yield
        finally:
            wire.terminate()


def _configure(namespace: str, *lines: str) -> None:
    tool("ip", "-n", namespace, "-batch", "-", stdin="\n".join(lines))


def _serve_files(laid: Street, web: Mapping[str, str]) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(laid.folder / "ca.pem")
    certificate = authority.issue_cert(*web)
    certificate.private_key_pem.write_to_path(laid.folder / "key.pem")
    for pem in certificate.cert_chain_pems:
        pem.write_to_path(laid.folder / "chain.pem", append=True)
    (laid.folder / "www").mkdir()
    (laid.folder / "www" / "file.bin").write_bytes(os.urandom(FILE_BYTES))
    (laid.folder / "nginx.conf").write_text(NGINX_CONF.format(folder=laid.folder))


@contextlib.contextmanager
def _peer(laid: Street, command: Sequence[str], name: str) -> Iterator[None]:
    """Run a server in the world until the end; it is up when it listens."""
    with (laid.folder / f"{name}.out").open("wb") as out:
        server = subprocess.Popen(
            laid.inside("world", *command), stdin=subprocess.DEVNULL, stdout=out, stderr=out
        )
        try:
            _wait_until_listening(laid, server, name)
            yield
        finally:
            server.terminate()
            server.wait(10)


def _wait_until_listening(laid: Street, server: subprocess.Popen[bytes], name: str) -> None:
    process = {"nginx": "nginx", "coturn": "turnserver"}[name]
    for _ in range(100):
        if process in tool(*laid.inside("world", "ss", "-lntup")):
            return
        assert server.poll() is None, (laid.folder / f"{name}.out").read_text()
        time.sleep(0.05)
    raise AssertionError(f"{name} does not listen after 5 s")


def _clear(laid: Street) -> None:
    for place in ("home", "router", "world"):
        here = laid.place(place)
        if here in tool("ip", "netns", "list"):
            for pid in tool("ip", "netns", "pids", here).split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), 9)
            tool("ip", "netns", "del", here)
        shutil.rmtree(Path("/etc/netns", here), ignore_errors=True)
