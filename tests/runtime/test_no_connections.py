"""Nothing of a hospital leaves it: in a network of its own, the commands talk to their server only."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from mock_study import MockStudy, breast_phantom

from support import free_ports

LISTENER = """
import os, signal, socket, struct, subprocess, sys

subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
# Every address is this machine's, so that whatever wants out is seen, and does not fail before it has sent anything.
subprocess.run(["ip", "route", "add", "local", "0.0.0.0/0", "dev", "lo"], check=True)

taps = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.ntohs(0x0800))
taps.settimeout(0.2)
ours = {int(port) for port in sys.argv[1].split(",")}
running = subprocess.Popen(["sh", "-c", sys.argv[2]], stdout=sys.stderr)
strangers = set()
while running.poll() is None:
    try:
        packet = taps.recv(65535)
    except TimeoutError:
        continue
    start, protocol, target = (packet[0] & 15) * 4, packet[9], socket.inet_ntoa(packet[16:20])
    source_port, port = struct.unpack_from("!HH", packet, start)
    if target == "127.0.0.1" and protocol == 6 and ours & {source_port, port}:
        continue
    strangers.add(f"{target}:{port} protocol {protocol}")
print("\\n".join(sorted(strangers)))
sys.exit(running.returncode)
"""


def talk(command: str, ports: list[int], folder: Path) -> str:
    """Run a command line in a network of its own; return what it sent elsewhere than to the ports."""
    if os.getuid() != 0:
        pytest.skip("network namespaces need root")
    home = folder / "home"
    home.mkdir()
    done = subprocess.run(
        ["unshare", "--net", sys.executable, "-c", LISTENER, ",".join(map(str, ports)), command],
        env={**os.environ, "HOME": str(home), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    left = [path for path in home.rglob("*") if path.is_file()]
    assert left == [], "an identity of this machine, or what else programs keep in a home"
    return done.stdout.strip()


def test_the_commands_connect_to_nobody_but_the_server_that_they_are_told(repository: Path, tmp_path: Path) -> None:
    MockStudy(breast_phantom()).write(tmp_path / "study")
    grpc, metrics = free_ports(2)
    serve = f"fcdd-serve --repo {repository} --grpc-port {grpc} --metrics-port {metrics}"
    lines = [
        f"cd {tmp_path}",
        f"fcdd-export --precision fp32 --repo {tmp_path / 'repo'}",
        f"{serve} --log log > ready & server=$!",
        "until grep -q ready ready; do kill -0 $server || exit 1; sleep 0.2; done",
        f"fcdd-score study --url grpc://127.0.0.1:{grpc}/small_fp32 --out served",
        f"fcdd-score study --model {repository / 'small_fp32'} --out local",
        "sleep 2; kill $server; wait $server",
    ]
    assert talk("; ".join(lines).replace("&;", "&"), [grpc, metrics], tmp_path) == ""


def test_the_packages_that_we_compare_with_do_not_either(tmp_path: Path) -> None:
    """Each is imported as `fcdd-bench compare` does, by the names that our modules import."""
    modules = "fcdd_benchmarks.compare.contenders, fcdd_benchmarks.study.mip_readers, fcdd_export.cli, highdicom"
    command = f'MPLCONFIGDIR={tmp_path} {sys.executable} -c "import {modules}, time; time.sleep(3)"'
    assert talk(command, [1], tmp_path) == ""


def test_the_listener_hears_what_is_sent(tmp_path: Path) -> None:
    send = "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('{}', 53))"
    command = "; ".join(f'{sys.executable} -c "{send.format(address)}"' for address in ("192.0.2.9", "127.0.0.1"))
    heard = talk(f"{command}; sleep 1", [1], tmp_path)
    assert ("192.0.2.9:53 protocol 17" in heard, "127.0.0.1:53 protocol 17" in heard) == (True, True)
