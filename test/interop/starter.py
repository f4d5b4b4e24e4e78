"""What the Python suites share: a broker that a starter script runs on loopback
(see brokers/), Warren or with BROKER=rabbitmq the peer."""

import json
import os
import pathlib
import subprocess
import time

HERE = pathlib.Path(__file__).parent
PATIENCE = 20  # seconds that a scenario waits for what must come


class Broker:
    """A broker below a folder; the starter named by BROKER_CMD knows how."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)

    def run(self, verb, *args):
        starter = os.environ.get("BROKER_CMD", str(HERE / "brokers" / "warren.sh"))
        done = subprocess.run([starter, verb, str(self.folder), *args], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{starter} {verb} {args}: {done.stdout}{done.stderr}"

    def ctl(self, *args):
        """Runs an operator's command."""
        self.run("ctl", *args)

    def address(self, proto):
        host, port = json.loads((self.folder / "ports.json").read_text())[proto].rsplit(":", 1)
        return host, int(port)


def eventually(what, ask):
    """Asks until the answer is true, as fast as the broker answers."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        answer = ask()
        if answer:
            return answer
        time.sleep(0.01)
    raise AssertionError(f"{what}: not within {PATIENCE} s")
