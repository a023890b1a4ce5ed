"""Samples of the sender go to the client that named the download, once, and are bounded."""

from probe.farend.sending import MAX_DOWNLOADS, Downloads
from probe.measurement import TcpInfo

SAMPLE = TcpInfo(t_s=0.0, rtt_s=0.04)


def test_samples_are_handed_out_once():
    downloads = Downloads()
    downloads.begin("client", "token", 0.0).append(SAMPLE)
    assert downloads.take("client", "token", 1.0) == (SAMPLE,)
    assert downloads.take("client", "token", 1.0) == ()


def test_nobody_else_gets_them():
    downloads = Downloads()
    downloads.begin("client", "token", 0.0).append(SAMPLE)
    assert downloads.take("other", "token", 1.0) == ()
    assert downloads.take("client", "token", 1.0) == (SAMPLE,)


def test_old_ones_are_forgotten():
    downloads = Downloads()
    downloads.begin("client", "token", 0.0).append(SAMPLE)
    assert downloads.take("client", "token", 1000.0) == ()


def test_only_so_many_downloads_are_remembered():
    downloads = Downloads()
    for number in range(MAX_DOWNLOADS + 1):
        downloads.begin("client", f"{number}", 0.0).append(SAMPLE)
    assert downloads.take("client", "0", 0.0) == ()
    assert downloads.take("client", "1", 0.0) == (SAMPLE,)
