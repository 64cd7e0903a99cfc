"""PyPI's riak 2.7.0 over TLS, with a token and with a certificate:

walk_tls.py PB_PORT HTTP_PORT NAME SECRET CA CERTIFICATE KEY

Every line that it prints is something that held. The first that does not ends it.
"""

import sys
import time

import shim  # noqa: F401, first of all

import riak
from refusing import refused
from riak.security import SecurityCreds

pb_port, http_port, name, secret, ca, certificate, key = sys.argv[1:]


def client(protocol, **credentials):
    credentials = SecurityCreds(cacert_file=ca, **credentials)
    ports = {"pb_port": int(pb_port), "http_port": int(http_port)}
    return riak.RiakClient(protocol=protocol, host="127.0.0.1", credentials=credentials, **ports)


# The node learns of the token a moment after it was made.
end = time.monotonic() + 60
while True:
    try:
        assert client("pbc", username=name, password=secret).ping()
        break
    except Exception:
        if time.monotonic() > end:
            raise
        time.sleep(0.05)

for protocol in ("pbc", "http"):
    shop = client(protocol, username=name, password=secret)
    shop.bucket("carts").new("alice", data={"tea": protocol}).store()
    assert shop.bucket("carts").get("alice").exists
    refused(f"another bucket over {protocol}", ["Forbidden", "403"], lambda: shop.bucket("other").get("k"))
    wrong = client(protocol, username=name, password="guess")
    refused(f"a guess over {protocol}", ["Authentication failed", "authorize", "401"],
            lambda: wrong.bucket("carts").get("alice"))
    print(protocol)

held = client("pbc", username="client", password="", cert_file=certificate, pkey_file=key)
assert held.bucket("other").get("k").exists is False
print("certificate")
print("done")
