"""Riak's client for Python over HTTP: what its users do, step by step. The argument is the port of a node."""

import sys

import shim  # noqa: F401, first of all
import riak

# Otherwise the client refuses to list anything.
riak.disable_list_exceptions = True
client = riak.RiakClient(protocol="http", host="127.0.0.1", http_port=int(sys.argv[1]))


def store_and_read():
    assert client.ping()
    bucket = client.bucket("carts")
    cart = bucket.new("alice", data={"tea": 1})
    cart.usermeta = {"colour": "red"}
    cart.add_index("age_int", 7)
    cart.add_link(bucket.new("bob"), "friend")
    cart.store()
    found = bucket.get("alice")
    assert found.exists and found.data == {"tea": 1}, found.data
    assert found.content_type == "application/json", found.content_type
    assert found.usermeta == {"colour": "red"}, found.usermeta
    assert found.indexes == {("age_int", 7)}, found.indexes
    assert [tuple(link) for link in found.links] == [("carts", "bob", "friend")], found.links
    assert not bucket.get("nobody").exists


def siblings_and_resolve():
    bucket = client.bucket("carts")
    seen = bucket.get("alice")
    for data in ({"tea": 2}, {"milk": 1}):
        bucket.new("alice", data=data).store(return_body=False)
    both = bucket.get("alice")
    assert len(both.siblings) == 3, both.siblings
    data = {}
    for sibling in both.siblings:
        for item, count in sibling.data.items():
            data[item] = max(count, data.get(item, 0))
    both.siblings = [both.siblings[0]]
    both.data = data
    both.store()
    assert len(both.siblings) == 1
    assert bucket.get("alice").data == {"tea": 2, "milk": 1}
    seen.data = {"late": 1}
    seen.store()
    assert len(seen.siblings) == 2, "the vclock was an old one"
    seen.siblings = [seen.siblings[0]]
    seen.data = data
    seen.store()


def conditions():
    bucket = client.bucket("conditions")
    bucket.new("once", data=1).store(if_none_match=True)
    try:
        bucket.new("once", data=2).store(if_none_match=True)
    except riak.RiakError:
        pass
    else:
        raise AssertionError("the key was there")
    assert bucket.get("once").data == 1


def lists():
    bucket = client.bucket("listed")
    keys = {"key {}".format(number) for number in range(50)}
    for key in keys:
        bucket.new(key, data=key).store(return_body=False)
    assert set(bucket.get_keys()) == keys
    assert {key for some in bucket.stream_keys() for key in some} == keys
    assert {"carts", "listed"} <= {each.name for each in client.get_buckets()}
    streamed = {each.name for some in client.stream_buckets() for each in some}
    assert {"carts", "listed"} <= streamed, streamed


def types():
    maps = client.bucket_type("maps").bucket("carts")
    maps.new("alice", data="of another type").store()
    assert maps.get("alice").data == "of another type"
    assert client.bucket("carts").get("alice").data == {"tea": 2, "milk": 1}
    assert maps.get_keys() == ["alice"]
    names = [each.name for each in client.bucket_type("maps").get_buckets()]
    assert names == ["carts"], names


def properties():
    bucket = client.bucket("wide")
    before = bucket.get_properties()
    assert before["n_val"] == 3 and bucket.allow_mult, before
    bucket.set_properties({"allow_mult": False, "r": "all"})
    after = bucket.get_properties()
    assert not after["allow_mult"] and after["last_write_wins"] and after["r"] == 3, after
    bucket.new("a", data=1).store()
    bucket.new("a", data=2).store()
    assert bucket.get("a").data == 2, "the last write wins"
    assert bucket.clear_properties()
    assert bucket.get_properties() == before
    try:
        bucket.set_properties({"search_index": "people"})
    except riak.RiakError:
        pass
    else:
        raise AssertionError("Jedlik has no search")


def chosen_keys_and_quorums():
    made = client.bucket("made").new(data="anything").store(w="all", dw=1, pw="quorum")
    assert made.key, made
    found = client.bucket("made").get(made.key, r="all", pr=1, timeout=10000)
    assert found.data == "anything"
    nodes = client.get_preflist(client.bucket("made"), made.key)
    assert len(nodes) == 3 and all(each["primary"] for each in nodes), nodes


def delete():
    bucket = client.bucket("carts")
    bucket.get("alice").delete()
    gone = bucket.get("alice")
    assert not gone.exists and gone.vclock is not None
    bucket.new("never").delete()
    gone.data = {"again": 1}
    gone.store()
    assert bucket.get("alice").data == {"again": 1}


def refusals():
    for refused in (
        lambda: client.bucket("carts").get_index("age_int", 7),
        lambda: client.bucket("carts").get("alice", r=4),
    ):
        try:
            refused()
        except riak.RiakError:
            continue
        raise AssertionError("this was not refused")


for step in (
    store_and_read,
    siblings_and_resolve,
    conditions,
    lists,
    types,
    properties,
    chosen_keys_and_quorums,
    delete,
    refusals,
):
    step()
    print(step.__name__, "done", flush=True)
