"""What a far end of a test needs for TLS, and a client that trusts it."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import trustme


def certify(authority: trustme.CA, folder: Path, *names: str) -> tuple[Path, Path]:
    """Write a certificate chain for some names, and its key."""
    issued = authority.issue_cert(*names)
    chain, key = folder / "chain.pem", folder / "key.pem"
    issued.private_key_pem.write_to_path(key)
    for blob in issued.cert_chain_pems:
        blob.write_to_path(chain, append=True)
    return chain, key


@contextlib.asynccontextmanager
async def trusting(authority: trustme.CA) -> AsyncIterator[aiohttp.ClientSession]:
    """Open a session that trusts an authority."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
        yield session
    await asyncio.sleep(0.05)  # the transports under TLS close a moment after the session
