"""Which names of hosts a page answers to."""

import socket
from urllib.parse import urlsplit

import pytest

from gradio_marks import GRADIO_MARKS
from http_requests import answered
from mgm.demo.hosts import Hosts, is_local
from mgm.demo.server import start
from mgm.errors import ConfigError

pytestmark = GRADIO_MARKS


def test_which_addresses_are_this_machine_alone():
    assert all(is_local(host) for host in ("127.0.0.1", "127.0.0.2", "localhost", "::1"))
    assert not any(is_local(host) for host in ("0.0.0.0", "::", "192.0.2.7", "lab.example.org", ""))


def test_a_server_at_a_name_answers_to_it():
    hosts = Hosts("Lab.example.org")
    assert all(hosts.accept(host) for host in ("lab.example.org", "LAB.EXAMPLE.ORG.:80", "192.0.2.7", "localhost"))
    assert not any(hosts.accept(host) for host in ("other.example.org", "lab.example.org.evil.example", ""))


def test_given_names_are_taken_in_any_case():
    hosts = Hosts("127.0.0.1", ["Proxy.example.org", "192.0.2.7", "[2001:db8::1]"])
    assert all(hosts.accept(host) for host in ("proxy.example.ORG:443", "192.0.2.7", "[2001:db8::1]:80"))
    assert not any(hosts.accept(host) for host in ("example.org", "192.0.2.8", "[2001:db8::2]"))


@pytest.mark.parametrize("name", ["", "http://a.example", "a.example:80", "*", "a b", "a/b", "[::1", "a\0"])
def test_what_is_no_name_is_one_clear_error(name):
    with pytest.raises(ConfigError, match=r"--allow-host .* is not a host name; give it as in"):
        Hosts("127.0.0.1", [name])


def test_the_command_line_says_so(mgm, tmp_path, free_port):
    pytest.importorskip("gradio")
    err = mgm.refused("serve", tmp_path, "--port", free_port(), "--allow-host", "a.example", "--allow-host", "http://b")
    assert "--allow-host 'http://b' is not a host name" in err


def test_a_page_for_the_network_answers_to_addresses_and_the_name_of_the_machine(served, free_port):
    pytest.importorskip("gradio")
    with start(served, "0.0.0.0", free_port()) as address:
        own = f"http://127.0.0.1:{urlsplit(address).port}"
        for host in ("127.0.0.1", "localhost", "192.0.2.7:7860", "[2001:db8::1]", socket.gethostname()):
            assert answered(own, "GET", "/", Host=host)[0] == 200
        for host in ("evil.example", "192.0.2.7.evil.example", "proxy.example.org"):
            assert answered(own, "GET", "/", Host=host)[0] == 403
