"""Addresses of relays as users type them, and how they are reached."""

from __future__ import annotations

import pytest

from sync_relay.client import InvalidUrl, Unreachable, relay_url
from sync_relay.client_sockets import proxy_for
from sync_relay.client_url import read_address


@pytest.mark.parametrize(
    ("typed", "normal", "origin"),
    [
        ("https://relay.example", "https://relay.example", "https://relay.example"),
        ("HTTPS://Relay.Example:443/", "https://relay.example", "https://relay.example"),
        ("relay.example.", "https://relay.example", "https://relay.example"),
        (" relay.example:8443 ", "https://relay.example:8443", "https://relay.example:8443"),
        ("https://relay.example/a/b/", "https://relay.example/a/b", "https://relay.example"),
        ("localhost:7465", "http://localhost:7465", "http://localhost:7465"),
        ("http://127.0.0.1:80", "http://127.0.0.1", "http://127.0.0.1"),
        ("http://[0:0::1]:7465", "http://[::1]:7465", "http://[::1]:7465"),
        ("https://[2001:DB8:0:0::1]", "https://[2001:db8::1]", "https://[2001:db8::1]"),
        ("https://bücher.example", "https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
        ("192.0.2.7", "https://192.0.2.7", "https://192.0.2.7"),
    ],
)
def test_addresses_have_one_form(typed: str, normal: str, origin: str) -> None:
    assert relay_url(typed) == normal
    assert relay_url(normal) == normal
    assert read_address(typed).origin == origin


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "https://",
        "https:///path",
        "ftp://relay.example",
        "file:///etc/passwd",
        "http://relay.example",
        "http://192.0.2.7",
        "http://127.0.0.1.relay.example",
        "http://[::ffff:192.0.2.7]",
        "https://user@relay.example",
        "https://user:pass@relay.example",
        "https://relay.example@elsewhere.example",
        "https://relay.example?x=1",
        "https://relay.example/#x",
        "https://relay.example/a?b",
        "https://relay.example/../x",
        "https://relay.example/a//b",
        "https://relay.example/%2e%2e/x",
        "https://relay.example\\@elsewhere.example",
        "https://relay exam.ple",
        "https://relay.example\r\nx: y",
        "https://relay\x1b[31m.example",
        "https://relay.example:0",
        "https://relay.example:65536",
        "https://relay.example:99999999",
        "https://relay.example:x",
        "https://relay.example:",
        "https://relay..example",
        "https://-relay.example",
        "https://127.1",
        "https://0x7f000001",
        "https://2130706433",
        "https://256.1.1.1",
        "https://2001:db8::1",
        "https://[2001:db8::1",
        "https://[::1]x",
        "https://[fe80::1%25eth0]",
        "https://[fe80::1%eth0]",
        "https://" + "a" * 64 + ".example",
        "https://" + "a." * 150 + "example",
        "https://\u202erelay.example",
        "https://relay\u3002example/",
    ],
)
def test_addresses_that_are_refused(typed: str) -> None:
    if typed.endswith("\u3002example/"):
        assert relay_url(typed) == "https://relay.example"  # a full stop of another script is a full stop
        return
    with pytest.raises(InvalidUrl) as raised:
        relay_url(typed)
    assert raised.value.hint
    assert str(raised.value).isprintable()


def test_a_proxy_is_for_https_elsewhere_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", "at-home.example")
    assert proxy_for(read_address("https://relay.example")) == "http://proxy.example:3128"
    assert proxy_for(read_address("https://at-home.example")) is None
    assert proxy_for(read_address("https://localhost:7465")) is None
    assert proxy_for(read_address("http://127.0.0.1:7465")) is None


def test_a_proxy_of_another_kind_is_not_gone_past(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("https_proxy", "socks5h://127.0.0.1:9050")
    with pytest.raises(Unreachable, match="proxy") as raised:
        proxy_for(read_address("https://relay.example"))
    assert raised.value.hint
    monkeypatch.setenv("https_proxy", "proxy.example:3128")
    assert proxy_for(read_address("https://relay.example")) == "http://proxy.example:3128"
