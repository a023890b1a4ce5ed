"""Redirects: recorded, followed only when asked to, and never into a volunteer's home."""

import pytest
from fetch_peers import peer, request_line

from probe import failure
from probe.fetch import FetchOrder, fetch
from probe.fetch.errors import FetchError
from probe.fetch.redirect import follow, recorded
from probe.network import Network


def pages(**routes):
    """Answer ``/name`` with a redirect to its value, anything else with a page."""

    async def handle(reader, writer):
        name = (await request_line(reader)).split()[1].strip("/").partition("?")[0]
        if name in routes:
            there = f"Location: {routes[name]}\r\n".encode()
            writer.write(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n" + there + b"\r\n")
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage")
        await reader.read()

    return handle


async def run(url, redirects, **routes):
    async with peer(pages(**routes)) as port:
        network = Network.from_options(f"site.example:80=127.0.0.1:{port}")
        return await fetch(FetchOrder(url=url, redirects=redirects), network)


async def test_a_redirect_is_recorded_without_its_query_and_not_followed_unasked():
    outcome = await run("http://site.example/a", 0, a="http://warn.example/203.0.113.7?ip=x#y")
    assert (outcome.failure, outcome.fetch.status) == (None, 302)
    assert outcome.fetch.location == "http://warn.example/[address]"


async def test_redirects_are_followed_when_asked_for():
    outcome = await run("http://site.example/a", 5, a="/b", b="http://site.example/c")
    assert (outcome.failure, outcome.fetch.status) == (None, 200)
    assert outcome.fetch.url == "http://site.example/c"


async def test_what_a_redirect_wrote_about_the_visitor_stays_out_of_the_record():
    there = "http://203-0-113-77.block.example/203.0.113.77?ip=203.0.113.77"
    async with peer(pages(a=there)) as port:
        entries = ("site.example", "203-0-113-77.block.example")
        network = Network.from_options(",".join(f"{n}:80=127.0.0.1:{port}" for n in entries))
        outcome = await fetch(FetchOrder(url="http://site.example/a", redirects=1), network)
    assert outcome.failure is None
    assert outcome.fetch.url == "http://[address].block.example/[address]"
    assert "113" not in str(outcome.fetch.dns)


async def test_a_loop_of_redirects_is_found():
    outcome = await run("http://site.example/a", 5, a="/b", b="/a")
    assert outcome.failure == failure.HTTP_REDIRECT


async def test_a_loop_that_changes_its_url_each_time_ends_at_the_limit():
    outcome = await run("http://site.example/a", 3, a="/b", b="/c", c="/d", d="/e", e="/f")
    assert outcome.failure == failure.HTTP_REDIRECT
    assert outcome.fetch.url == "http://site.example/d"


@pytest.mark.parametrize(
    "there",
    [
        "http://127.0.0.1/",
        "http://192.168.1.1/admin",
        "http://[::1]/",
        "http://localhost:8080/",
        "http://router/",
        "http://printer.local/",
        "//10.0.0.1/",
    ],
)
async def test_a_redirect_from_the_net_into_the_home_is_refused(there):
    outcome = await run("http://site.example/a", 5, a=there)
    assert outcome.failure == failure.HTTP_REDIRECT_HOST
    assert outcome.fetch.status == 302


@pytest.mark.parametrize("there", ["ftp://a.example/", "http://[::1", "http://a.example:99999/"])
def test_a_redirect_to_what_is_no_web_page_is_refused(there):
    with pytest.raises(FetchError) as caught:
        follow("http://site.example/", there, ())
    assert caught.value.word == failure.HTTP_REDIRECT


def test_from_home_to_home_is_allowed():
    assert follow("http://127.0.0.1:1/a", "http://127.0.0.1:2/b", ()) == "http://127.0.0.1:2/b"


def test_what_cannot_be_read_is_not_recorded():
    assert recorded("http://[::1") == ""
    assert recorded("http://user:password@site.example/x") == "http://site.example/x"
