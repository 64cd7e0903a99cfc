"""Lets Riak's client for Python, written for versions up to 3.6, run on today's: gives back what went since."""

import collections
import collections.abc
import ssl
import sys
import types

_namedtuple = collections.namedtuple


def _namedtuple_of_old(*args, verbose=False, **options):
    return _namedtuple(*args, **options)


def _parse_header(line):
    """Splits a header into its value and its parameters, as `cgi` did."""
    value, *rest = [part.strip() for part in line.split(";")]
    pairs = (part.partition("=") for part in rest)
    return value, {name.strip().lower(): text.strip().strip('"') for name, _, text in pairs}


class _LooseVersion:
    """Version that compares number by number, as `distutils` had it."""

    def __init__(self, text):
        self.vstring = text
        self.version = [int(part) for part in text.split(".")]

    def _numbers(self, other):
        return other.version if isinstance(other, _LooseVersion) else _LooseVersion(other).version

    def __eq__(self, other):
        return self.version == self._numbers(other)

    def __lt__(self, other):
        return self.version < self._numbers(other)

    def __ge__(self, other):
        return self.version >= self._numbers(other)


def _module(name, **contents):
    module = types.ModuleType(name)
    vars(module).update(contents)
    sys.modules[name] = module
    return module


collections.namedtuple = _namedtuple_of_old
for _name in ("Callable", "Iterable", "Mapping", "MutableMapping", "Sequence", "Set", "Sized"):
    setattr(collections, _name, getattr(collections.abc, _name))
_module("cgi", parse_header=_parse_header)
_version = _module("distutils.version", LooseVersion=_LooseVersion, StrictVersion=_LooseVersion)
_module("distutils", version=_version)


def _tls_socket(sock, keyfile, certfile, cert_reqs, ca_certs, ciphers, server_hostname):
    """Makes a TLS socket, whose class has no constructor any more."""
    context = ssl.create_default_context(cafile=ca_certs)
    if certfile:
        context.load_cert_chain(certfile, keyfile)
    return context.wrap_socket(sock, server_hostname=server_hostname)


# A copy, since the class itself has to stay what it is.
_module("ssl", **{**vars(ssl), "SSLSocket": _tls_socket})
