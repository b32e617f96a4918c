"""Which HTTP proxy the environment puts before an address, for errors of which it may be the cause."""

from __future__ import annotations

import os
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

STATUSES = (403, 407, 502, 503, 504)
"""What a proxy answers by itself when it does not let a request through, or cannot pass it on."""


def through_proxy(address: str, *, honours_all: bool = False) -> str:
    """ " (through the proxy http://p:3128 of https_proxy; set no_proxy=HOST to go without)", or "" where there is none.

    The proxy's user and password are left out. `honours_all`: the client also takes the proxy of all_proxy, as curl and httpx do
    and `urllib` does not.
    """
    target = urlsplit(address)
    proxies = getproxies()
    scheme = next((name for name in (target.scheme, *["all"] * honours_all) if proxies.get(name)), None)
    if scheme is None or not target.hostname or proxy_bypass(target.netloc.rpartition("@")[2]):
        return ""
    variable = next((name for name in (f"{scheme}_proxy", f"{scheme}_proxy".upper()) if os.environ.get(name)), None)
    whose = f"of {variable}" if variable else "of this system"
    return f" (through the proxy {_shown(proxies[scheme])} {whose}; set no_proxy={target.hostname} to go without)"


def before_the_hub(error: Exception) -> str:
    """The same for an error of the Hugging Face hub's client; "" where the hub answered by itself, or was not asked."""
    answer = getattr(error, "response", None)
    unasked = hub_offline() or type(error).__name__ in ("HFValidationError", "OfflineModeIsEnabled")
    if unasked or (answer is not None and answer.status_code not in STATUSES):
        return ""
    return through_proxy(os.environ.get("HF_ENDPOINT", "https://huggingface.co"), honours_all=True)


def hub_offline() -> bool:
    """Whether the environment forbids to ask the hub."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON")


def _shown(proxy: str) -> str:
    scheme, separator, rest = proxy.rpartition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"
