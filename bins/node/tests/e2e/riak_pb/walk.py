"""Walk through what PyPI's riak 2.7.0 does with a cluster over Protocol Buffers: walk.py PORT...

Every line that it prints is something that held. The first that does not ends it.
"""

import sys
import time

import shim  # noqa: F401, first of all

import riak
from refusing import refused

nodes = [{"host": "127.0.0.1", "pb_port": int(port)} for port in sys.argv[1:]]
client = riak.RiakClient(protocol="pbc", nodes=nodes)


def in_time(what, holds):
    """Waits for what one node has learned and the others still have to."""
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(0.05)


assert client.ping()
print("ping")

carts = client.bucket("py_carts")
carts.set_properties({"allow_mult": True, "n_val": 3, "w": 3})
for _ in nodes:
    in_time("w is 3", lambda: carts.get_properties()["w"] == 3)
props = carts.get_properties()
assert props["allow_mult"] is True and props["n_val"] == 3, props
carts.clear_properties()
in_time("w is 2 again", lambda: carts.get_properties()["w"] == 2)
refused("a commit hook", ["precommit"], lambda: carts.set_properties({"precommit": [{"name": "f"}]}))
print("properties")

alice = carts.new("alice", data={"tea": 1})
alice.usermeta = {"colour": "red"}
alice.add_index("age_int", 7)
alice.add_link(carts.new("bob"), tag="friend")
alice.store()
assert alice.etag and len(alice.siblings) == 1
got = carts.get("alice")
assert got.exists and got.data == {"tea": 1} and got.content_type == "application/json"
assert got.usermeta == {"colour": "red"} and ("age_int", 7) in got.indexes, got.indexes
assert ("py_carts", "bob", "friend") in got.links, got.links
assert got.last_modified and got.etag == alice.etag
got.data = {"tea": 2}
got.store(return_body=False)
assert carts.get("alice").data == {"tea": 2}
print("put and get")

plain = carts.new("plain", encoded_data=b"\x00\xff", content_type="application/x-thing")
plain.store()
assert carts.get("plain").encoded_data == b"\x00\xff"
unnamed = carts.new(data="a value without a key")
unnamed.store()
assert unnamed.key and carts.get(unnamed.key).data == "a value without a key"
print("bytes and generated keys")

carts.new("alice", data={"milk": 1}).store(return_body=False)
both = carts.get("alice")
assert sorted(list(sibling.data)[0] for sibling in both.siblings) == ["milk", "tea"]
merged = {}
for sibling in both.siblings:
    merged.update(sibling.data)
both.siblings = both.siblings[:1]
both.data = merged
both.store()
assert len(both.siblings) == 1 and carts.get("alice").data == {"tea": 2, "milk": 1}
carts.new("alice", data={"cake": 1}).store(return_body=False)


def keep_last(siblings):
    siblings.siblings = [max(siblings.siblings, key=lambda one: one.last_modified)]


carts.resolver = keep_last
resolved = carts.get("alice")
assert resolved.data == {"cake": 1}, resolved.data
resolved.store()
carts.resolver = None
assert len(carts.get("alice").siblings) == 1
print("siblings")

refused("a put of a key that is there", ["match_found"],
        lambda: carts.new("alice", data=1).store(if_none_match=True))
carts.new("fresh", data=1).store(if_none_match=True)
assert carts.get("fresh").data == 1
assert carts.get("alice", r="all", pr=1, timeout=10000).exists
assert carts.get("alice", head_only=True).exists
refused("more replicas than there are", ["replicas"], lambda: carts.get("alice", r=4))
print("conditions and quorums")

keys = carts.get_keys()
assert sorted(keys) == sorted(["alice", "fresh", "plain", unnamed.key]), keys
streamed = [key for page in carts.stream_keys() for key in page]
assert sorted(streamed) == sorted(keys)
typed = client.bucket_type("py_maps").bucket("py_carts")
typed.new("only", data="typed").store()
assert typed.get_keys() == ["only"] and not carts.get("only").exists
assert "py_carts" in [bucket.name for bucket in client.get_buckets()]
assert [bucket.name for bucket in client.get_buckets(bucket_type=client.bucket_type("py_maps"))] == ["py_carts"]
assert "py_carts" in [bucket.name for page in client.stream_buckets() for bucket in page]
print("listings")

preferred = client.get_preflist(carts, "alice")
assert len(preferred) == 3 and all(node["primary"] for node in preferred), preferred
print("preference list")

carts.get("alice").delete()
gone = carts.get("alice")
assert not gone.exists
gone.data = {"tea": 3}
gone.store()
back = carts.get("alice")
assert back.data == {"tea": 3} and len(back.siblings) == 1
carts.delete("alice")
carts.delete("never")
assert not carts.get("alice").exists and "alice" not in carts.get_keys()
print("delete")

refused("an index", ["index"], lambda: carts.get_index("age_int", 7))
refused("map/reduce", ["map/reduce"], lambda: client.add("py_carts", "fresh").map("f").run())
assert client.ping() and carts.get("fresh").data == 1
print("done")
