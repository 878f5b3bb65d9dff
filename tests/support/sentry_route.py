"""What stands on the way to a Sentry: certificates, real proxies, servers that answer as they are told."""

import contextlib
import socket
import ssl
import subprocess
import threading

from slotel.cli.sink.http import HttpWire, answer_bytes


def make_certificate(folder):
    """Make `cert.pem` and `key.pem` of 127.0.0.1 and ::1 in the folder, signed by itself; return the folder."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
         "-addext", "subjectAltName=IP:127.0.0.1,IP:::1", "-keyout", "key.pem", "-out", "cert.pem"],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    return folder


def serving_tls(folder):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


class Proxy:
    """A small real HTTP proxy: CONNECT, and absolute targets; remembers the first line of each request.

    With a server-side context it speaks TLS itself. While it has an `answer`, that is what each request gets; none, if it is empty.
    """

    scheme = "http"

    def __init__(self, tls=None):
        self.seen = []
        self.answer = None
        self.tls = tls
        self.port = 0
        self.listen()
        scheme = "https" if tls else self.scheme
        self.url = f"{scheme}://user:pa%20ss@127.0.0.1:{self.port}"

    def listen(self):
        self.listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve_safely, args=(client,), daemon=True).start()

    def serve_safely(self, client):
        with contextlib.suppress(OSError):  # such as a client that does not trust it
            self.serve(self.tls.wrap_socket(client, server_side=True) if self.tls else client)
        client.close()

    def serve(self, client):
        wire = HttpWire(client)
        with client:
            while (request := wire.read()) is not None:
                if self.answer is not None:
                    client.sendall(self.answer)
                    if self.answer:
                        return
                    continue
                self.seen.append((request.method, request.target, request.headers.get("proxy-authorization")))
                if request.method == "CONNECT":
                    host, _, port = request.target.rpartition(":")
                    with socket.create_connection((host.strip("[]"), int(port))) as server:
                        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                        back = threading.Thread(target=self.pipe, args=(server, client), daemon=True)
                        back.start()
                        self.pipe(client, server)
                        back.join(5)
                    return
                host, port = request.target.split("/")[2].split(":")
                path = "/" + request.target.split("/", 3)[3]
                with socket.create_connection((host, int(port))) as server:
                    head = f"POST {path} HTTP/1.1\r\nContent-Encoding: gzip\r\nContent-Length: {len(request.body)}\r\n\r\n"
                    server.sendall(head.encode() + request.body)
                    server.recv(65536)
                client.sendall(answer_bytes(200, b"{}"))

    @staticmethod
    def pipe(source, target):
        try:
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


class Socks(Proxy):
    """A small real SOCKS5 proxy (RFC 1928) that wants user and password (RFC 1929); remembers whom it was asked for."""

    scheme = "socks5h"

    def serve(self, client):
        stream = client.makefile("rb")
        stream.read(stream.read(2)[1])  # the methods that the client knows
        client.sendall(b"\x05\x02")
        _, length = stream.read(2)
        user = stream.read(length)
        password = stream.read(stream.read(1)[0])
        client.sendall(b"\x01\x00")
        kind = stream.read(4)[3]
        host = stream.read(stream.read(1)[0]).decode() if kind == 3 else socket.inet_ntoa(stream.read(4))
        port = int.from_bytes(stream.read(2), "big")
        self.seen.append((host, port, user, password))
        with socket.create_connection((host, port)) as server:
            client.sendall(b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
            back = threading.Thread(target=self.pipe, args=(server, client), daemon=True)
            back.start()
            self.pipe(client, server)
            back.join(5)


class Answering:
    """A server that takes any request and gives always the same bytes; it hangs up after each when told."""

    def __init__(self, answer, *, closes=False, host="127.0.0.1", path="/1", tls=None):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.answer = answer
        self.closes = closes
        self.tls = tls
        self.listener = socket.create_server((host, 0), family=family)
        self.netloc = f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"
        self.path = path
        self.requests = []
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self):
        return self.listener.getsockname()[1]

    def dsn(self, project=None):
        return f"{'https' if self.tls else 'http'}://key@{self.netloc}{self.path}"

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with contextlib.suppress(OSError):
            self._converse(self.tls.wrap_socket(connection, server_side=True) if self.tls else connection)

    def _converse(self, connection):
        wire = HttpWire(connection)
        with connection:
            while (request := wire.read()) is not None:
                self.requests.append(request)
                connection.sendall(self.answer)
                if self.closes:
                    return

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


class TooLarge(Answering):
    """A load balancer that takes bodies up to a length, and refuses a longer one by its head: it leaves the body unread."""

    def __init__(self, longest):
        super().__init__(answer_bytes(200, b"{}"))
        self.longest = longest

    def _converse(self, connection):
        with connection, connection.makefile("rb") as stream:
            while stream.readline():
                head = [line.partition(b":") for line in iter(stream.readline, b"\r\n")]
                length = next(int(value) for name, _, value in head if name.lower() == b"content-length")
                if length > self.longest:
                    connection.sendall(answer_bytes(413, b"", keep_alive=False))
                    return
                self.requests.append(stream.read(length))
                connection.sendall(self.answer)
