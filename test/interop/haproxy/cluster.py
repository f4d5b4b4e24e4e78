"""Three nodes behind HAProxy, as test/estates/rabbitmq/haproxy.cfg has it, every process
on addresses of loopback: 10.15.85.141 is 127.A.B.141, of which A and B are the run's own,
so that the ports are those that the file says."""

import contextlib
import json
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).parent
CONFIG = HERE.parent.parent / "estates" / "rabbitmq" / "haproxy.cfg"
WARREN = os.environ.get("WARREN", str(HERE.parent.parent.parent / "bin" / "warren"))
PATIENCE = 40  # seconds that a scenario waits for what must come


def eventually(what, ask, seconds=PATIENCE):
    """Asks until the answer is true, and returns it."""
    end = time.monotonic() + seconds
    while True:
        answer = ask()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.05)


class Process:
    """A program whose output goes to a file."""

    def __init__(self, log, *args, **options):
        self.log = log
        with log.open("a") as out:
            self.process = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, **options)

    def alive(self):
        return self.process.poll() is None

    def end(self, how=signal.SIGKILL):
        if self.alive():
            self.process.send_signal(how)
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(PATIENCE)
            raise AssertionError(f"it did not stop:\n{self.log.read_text()[-4000:]}") from None


class Node:
    def __init__(self, folder, k, host, cookie, peers):
        self.name, self.host, self.folder = f"rabbit@node-0{k}", host, folder / f"node-0{k}"
        self.log = folder / f"node-0{k}.log"
        self.args = [
            WARREN, "serve", "--data", str(self.folder), "--name", self.name, "--bind", host, "--cookie-file", str(cookie),
            "--listen", "http=on", "--peers", ",".join(peers)]
        self.process = None

    def start(self):
        self.process = Process(self.log, *self.args)

    def kill(self):
        """kill -9"""
        self.process.end()

    def stop(self):
        self.process.end(signal.SIGTERM)

    def health(self, path="/health/ready"):
        """The answer to a health check: (0, "") if there is none."""
        try:
            with urllib.request.urlopen(f"http://{self.host}:15672{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as e:
            return e.code, e.read().decode()
        except OSError:
            return 0, ""

    def ready(self):
        assert self.process.alive(), f"{self.name} ended:\n{self.log.read_text()[-4000:]}"
        return self.health()[0] == 200

    def open(self):
        """Whether the AMQP port is, for a TCP check."""
        with contextlib.suppress(OSError), socket.create_connection((self.host, 5672), timeout=5):
            return True
        return False

    def upgrade(self, verb):
        """What an operator orders by rabbitmq-upgrade."""
        done = subprocess.run(
            ["rabbitmq-upgrade", "--data", str(self.folder), verb], executable=WARREN, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{verb}: {done.stdout}{done.stderr}"

    def accepted(self):
        """How many connections came to its AMQP port."""
        done = subprocess.run([WARREN, "status", "--json", "--data", str(self.folder)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return next(l["accepted"] for l in json.loads(done.stdout)["listeners"] if l["name"] == "amqp")


class Cluster:
    """The nodes and the proxy."""

    def __init__(self, folder):
        net = f"127.{random.randint(1, 254)}.{random.randint(0, 254)}."
        text = CONFIG.read_text().replace("10.15.85.", net)
        # Since its version 1.7 HAProxy wants the address of a section in a line of its own.
        text, n = re.subn(r"^(listen rabbitmq) (\S+)$", r"\1\n    bind \2", text, flags=re.M)
        assert n == 1, text
        servers = re.findall(r"^\s*server (\S+) (\S+):5672 ", text, re.M)
        assert len(servers) == 3, servers
        hosts = [host for _, host in servers]
        cookie = folder / "cookie"
        cookie.write_text("a cookie that is long enough")
        cookie.chmod(0o400)
        self.nodes = [Node(folder, k, host, cookie, hosts) for k, host in enumerate(hosts, 1)]
        self.folder, self.proxy = folder, None
        self.config = folder / "haproxy.cfg"
        # Beside it, the checks over HTTP of docs/load-balancer.md.
        checked = "".join(f"    server {n} {host}:5672 check port 15672 inter 1s rise 2 fall 2\n" for n, host in servers)
        self.config.write_text(
            f"{text}\nlisten checked\n    bind {hosts[0]}:5669\n    option httpchk GET /health/ready\n{checked}")
        self.host, port = re.search(r"^\s*bind (\S+):(\d+)$", text, re.M).groups()
        self.port = int(port)

    def start(self):
        for node in self.nodes:
            node.start()
        self.whole()
        # -db: in the foreground, whatever the file says.
        self.proxy = Process(self.folder / "haproxy.log", "haproxy", "-db", "-f", str(self.config))
        eventually("the proxy answers", self.reachable)

    def stop(self):
        if self.proxy:
            self.proxy.end()
        for node in self.nodes:
            if node.process and node.process.alive():
                node.stop()

    def whole(self):
        """Waits until all nodes serve, and each may die."""
        for node in self.nodes:
            eventually(f"{node.name} serves, one of three", lambda n=node: n.ready() and n.health()[1] == "serving: 3 of 3\n")

    def reachable(self):
        assert self.proxy.alive(), self.proxy.log.read_text()
        with contextlib.suppress(OSError), socket.create_connection((self.host, self.port), timeout=5):
            return True
        return False

    def says(self, text):
        """How often the proxy said so: it tells when it ejects a server and takes it back."""
        return self.proxy.log.read_text().count(text)

    def down(self, node):
        return self.says(f"Server rabbitmq/{node.name.partition('@')[2]} is DOWN")

    def up(self, node):
        return self.says(f"Server rabbitmq/{node.name.partition('@')[2]} is UP")

    def taken(self):
        """Waits until the proxy gives connections to every node."""
        for node in self.nodes:
            eventually(f"the proxy takes {node.name} back", lambda n=node: self.up(n) == self.down(n))
