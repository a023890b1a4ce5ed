"""Where a redirect may lead. Pure."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urljoin, urlsplit, urlunsplit

from probe import failure
from probe.fetch.body import scrub
from probe.fetch.errors import FetchError
from probe.fetch.order import OrderError, origin
from probe.network import is_public


def follow(url: str, location: str, seen: Collection[str]) -> str:
    """Work out the next URL.

    Args:
        url: where the answer came from.
        location: the answer's ``Location``.
        seen: every URL of the trial so far.

    Returns:
        The absolute URL to fetch next.

    Raises:
        FetchError: ``http_unexpected_redirect_url`` for a loop or a URL that is none;
            ``http_invalid_redirect_location_host`` for a way from a public host to one that is
            not: a page on the net has no business inside a volunteer's home.
    """
    try:
        following = urljoin(url, location)
        host = origin(following).host
    except (OrderError, ValueError, KeyError) as error:
        raise FetchError(failure.HTTP_REDIRECT) from error
    if not host or following in seen:
        raise FetchError(failure.HTTP_REDIRECT)
    if is_public(origin(url).host) and not is_public(host):
        raise FetchError(failure.HTTP_REDIRECT_HOST)
    return following


def recorded(location: str) -> str:
    """Cut a ``Location`` down to what a record keeps.

    Args:
        location: as the server sent it.

    Returns:
        Scheme, host and path without addresses. The query goes: block pages are told there whom
        they block.
    """
    try:
        parts = urlsplit(location)
    except ValueError:
        return ""
    return scrub(urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", "")))
