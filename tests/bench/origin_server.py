"""An nginx on loopback with a certificate of its own, for the benchmarks."""

import contextlib
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time

import trustme

NAME = "site.example"

CONFIG = """
daemon off;
worker_processes 1;
pid {root}/nginx.pid;
error_log {root}/error.log;
events {{}}
http {{
    access_log off;
    sendfile on;
    client_body_temp_path {root}/body;
    proxy_temp_path {root}/proxy;
    fastcgi_temp_path {root}/fastcgi;
    uwsgi_temp_path {root}/uwsgi;
    scgi_temp_path {root}/scgi;
    server {{
        listen {address}:{port} ssl http2;
        server_name {name};
        ssl_certificate {root}/server.pem;
        ssl_certificate_key {root}/server.pem;
        ssl_protocols TLSv1.3;
        root {root}/files;
    }}
}}
"""


class OriginServer:
    """Where the server is and whom to trust."""

    def __init__(self, root, address, port):
        self.address, self.port = address, port
        self.authority = str(root / "authority.pem")
        self.url = f"https://{NAME}:{port}/"
        self.connect_to = f"{NAME}:{port}={address}:{port}"
        self.curl_connect_to = f"{NAME}:{port}:{address}:{port}"

    def curl(self, path, *options):
        """Fetch with curl; return what ``-w`` said."""
        return subprocess.run(
            ["curl", "-sS", "--http1.1", "--cacert", self.authority, "--connect-to",
             self.curl_connect_to, "-o", os.devnull, *options, self.url + path],
            check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip


@contextlib.contextmanager
def origin_server(sizes, *, address="127.0.0.1", command=("nginx",)):
    """Serve files of so many random bytes, each named by its size."""
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        root.chmod(0o755)
        (root / "files").mkdir()
        for size in sizes:
            block = os.urandom(1 << 20)
            with (root / "files" / str(size)).open("wb") as file:
                for at in range(0, size, len(block)):
                    file.write(block[: size - at])
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(root / "authority.pem"))
        issued = authority.issue_cert(NAME)
        issued.private_key_and_cert_chain_pem.write_to_path(str(root / "server.pem"))
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        config = CONFIG.format(root=root, address=address, port=port, name=NAME)
        (root / "nginx.conf").write_text(config)
        if shutil.which("nginx") is None:
            raise SystemExit("found no nginx, expected Debian's nginx: apt-get install nginx")
        with subprocess.Popen([*command, "-c", str(root / "nginx.conf")]) as server:
            try:
                wait_for(root / "nginx.pid")
                yield OriginServer(root, address, port)
            finally:
                server.terminate()


def wait_for(path):
    for _ in range(200):
        if path.exists() and path.read_text().strip():
            return
        time.sleep(0.05)
    raise SystemExit("nginx did not start; its own message stands above")
