"""The whole product in one run: export, serve, draw a phantom study, score it over gRPC, stop the server."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from fcdd_runtime.report.words import state_of

BIN = Path(sys.executable).parent
OUT = Path("demo_out")
STUDY = OUT / "phantom_study"


def main() -> None:
    """Run the demo from the root of a checkout."""
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    run("fcdd-export", "--precision", "fp16")
    run("python", "-m", "phantom", "draw", "--seed", "3", "--lesions", "1", "--out", str(STUDY))
    with server() as address:
        run("fcdd-score", str(STUDY / "dicom"), "--url", f"{address}/fcdd_fp16", "--out", str(OUT))
    for path in sorted(OUT.glob("*/result.json")):
        print_result(path)


def run(command: str, *arguments: str) -> None:
    """Run one of the environment's commands, printed as a user would type it."""
    print("$", command, *arguments, flush=True)
    done = subprocess.run([str(BIN / command), *arguments], check=False, env={**os.environ, "PYTHONPATH": "examples"})
    if done.returncode:
        sys.exit(done.returncode)


@contextlib.contextmanager
def server() -> Iterator[str]:
    """Serve the model repository on free loopback ports and yield the address."""
    grpc, metrics = map(str, free_ports(2))
    options = ["--grpc-port", grpc, "--metrics-port", metrics]
    command = ["fcdd-serve", *options, "--log", str(OUT / "fcdd-serve.log")]
    print("$", *command, "&", flush=True)
    process = subprocess.Popen([str(BIN / command[0]), *command[1:]], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline().strip()
        if not line.startswith("ready "):
            sys.exit(f"the server did not start; see {OUT / 'fcdd-serve.log'}")
        print(line, flush=True)
        yield line.removeprefix("ready ")
    finally:
        process.terminate()
        process.wait()


def free_ports(count: int) -> list[int]:
    """Ask the system for ports that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for listener in sockets:
            listener.bind(("127.0.0.1", 0))
        return [int(listener.getsockname()[1]) for listener in sockets]


def print_result(path: Path) -> None:
    """Print the scores of a study and where its files are."""
    result = json.loads(path.read_text(encoding="utf-8"))
    for breast in result["breasts"]:
        state = state_of(breast["flagged"], to_review=result["state"] == "review").in_line
        position = ", ".join(f"{value:.0f}" for value in breast["peak"]["patient_mm"])
        print(f"{breast['laterality']}  score {breast['score']:.4f}  {state}  peak at ({position}) mm LPS")
    print(f"{path}\n{path.with_name('report.html')}")


if __name__ == "__main__":
    main()
