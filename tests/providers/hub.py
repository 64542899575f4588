"""A Hub on loopback: the part of its HTTP API that `huggingface_hub` uses, over real sockets.

Commits with parents, trees, uploads in two ways (in the commit, or as large files), downloads with
ETag and Range. Large files are those of more than 64 bytes that end in .safetensors.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import unquote, urlsplit

TOKEN = "hf_canary-3c1b5f07e2"


@dataclass
class Repo:
    """Commits, oldest first: an id and the files by path."""

    private: bool
    commits: list[tuple[str, dict[str, bytes]]] = field(default_factory=list)

    def commit(self, files: dict[str, bytes]) -> str:
        number = f"{len(self.commits)}{sorted(files)}".encode()
        self.commits.append((hashlib.sha1(number).hexdigest(), files))
        return self.commits[-1][0]

    def at(self, revision: str) -> dict[str, bytes] | None:
        if revision == "main":
            return self.commits[-1][1]
        return next((files for name, files in self.commits if name == revision), None)


class LoopbackHub:
    """Serves until closed; what came and what lies there can be looked at."""

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.large: dict[str, bytes] = {}
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.break_after: int | None = None
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: LoopbackHub

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._route()

    def do_HEAD(self) -> None:
        self._route()

    def do_POST(self) -> None:
        self._route()

    def do_PUT(self) -> None:
        self._route()

    def _route(self) -> None:
        path = urlsplit(self.path).path
        self.hub.requests.append((self.command, path, dict(self.headers)))
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        storage = path.startswith("/storage/")
        if not storage and self.headers.get("authorization") != f"Bearer {TOKEN}":
            self._say(401, {"error": f"Invalid token {self.headers.get('authorization')}"})
            return
        for pattern, answer in _ROUTES:
            if found := re.fullmatch(pattern, path):
                answer(self, body, *map(unquote, found.groups()))
                return
        self._say(404, {"error": f"no such route {path}"})

    def _say(self, status: int, value: Any, **headers: str) -> None:
        content = json.dumps(value).encode()
        self._send(status, content, {"Content-Type": "application/json", **headers})

    def _send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        headers.setdefault("Content-Length", str(len(content)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _repo(self, name: str) -> Repo | None:
        repo = self.hub.repos.get(name)
        if repo is None:
            self._say(404, {"error": "Repository not found"}, **{"X-Error-Code": "RepoNotFound"})
        return repo

    def create(self, body: bytes) -> None:
        asked = json.loads(body)
        name = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else ""
        if name in self.hub.repos:
            self._say(409, {"url": f"{self.hub.url}/{name}"})
            return
        repo = self.hub.repos[name] = Repo(private=asked.get("visibility") == "private")
        repo.commit({".gitattributes": b"*.safetensors filter=lfs\n"})
        self._say(200, {"url": f"{self.hub.url}/{name}", "name": name, "id": "1"})

    def info(self, _body: bytes, name: str) -> None:
        if (repo := self._repo(name)) is not None:
            head, files = repo.commits[-1]
            siblings = [{"rfilename": path} for path in sorted(files)]
            self._say(200, {"id": name, "sha": head, "siblings": siblings, "tags": []})

    def tree(self, _body: bytes, name: str, revision: str, folder: str) -> None:
        if (repo := self._repo(name)) is None:
            return
        files = repo.at(revision) or {}
        below = f"{folder}/" if folder else ""
        inside = {p: c for p, c in sorted(files.items()) if p.startswith(below)}
        if not inside:
            self._say(404, {"error": "not found"}, **{"X-Error-Code": "EntryNotFound"})
            return
        recursive = "recursive=true" in self.path.lower()
        entries = [
            {"type": "file", "path": path, "size": len(content), "oid": _oid(content)}
            for path, content in inside.items()
            if recursive or "/" not in path[len(below) :]
        ]
        folders = {
            below + "/".join(path[len(below) :].split("/")[:depth])
            for path in inside
            for depth in range(1, path[len(below) :].count("/") + 1)
            if recursive or depth == 1
        }
        entries += [
            {"type": "directory", "path": path, "size": 0, "oid": _oid(path.encode())}
            for path in sorted(folders)
        ]
        self._say(200, entries)

    def preupload(self, body: bytes, name: str, _revision: str) -> None:
        if self._repo(name) is None:
            return
        files = [
            {"path": one["path"], "uploadMode": _mode(one), "shouldIgnore": False}
            for one in json.loads(body)["files"]
        ]
        self._say(200, {"files": files})

    def batch(self, body: bytes, _name: str) -> None:
        objects = []
        for one in json.loads(body)["objects"]:
            told = dict(one)
            if one["oid"] not in self.hub.large:
                href = f"{self.hub.url}/storage/{one['oid']}"
                told["actions"] = {"upload": {"href": href}}
            objects.append(told)
        self._say(200, {"transfer": "basic", "objects": objects})

    def store(self, body: bytes, oid: str) -> None:
        if hashlib.sha256(body).hexdigest() != oid:
            self._say(400, {"error": "other bytes"})
            return
        self.hub.large[oid] = body
        self._say(200, {})

    def commit(self, body: bytes, name: str, _revision: str) -> None:
        if (repo := self._repo(name)) is None:
            return
        head, files = repo.commits[-1]
        files = dict(files)
        for line in body.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "header":
                if value.get("parentCommit") not in {None, head}:
                    self._say(412, {"error": "A commit has happened since."})
                    return
            elif entry["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                files[value["path"]] = self.hub.large[value["oid"]]
            elif entry["key"] == "deletedFolder":
                below = value["path"].rstrip("/") + "/"
                files = {p: c for p, c in files.items() if not p.startswith(below)}
        oid = repo.commit(files)
        url = f"{self.hub.url}/{name}/commit/{oid}"
        self._say(200, {"success": True, "commitOid": oid, "commitUrl": url})

    def resolve(self, _body: bytes, name: str, revision: str, path: str) -> None:
        if (repo := self._repo(name)) is None:
            return
        files = repo.at(revision)
        if files is None or path not in files:
            self._say(404, {"error": "not found"}, **{"X-Error-Code": "EntryNotFound"})
            return
        commit = repo.commits[-1][0] if revision == "main" else revision
        content, headers = files[path], {"X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        headers["ETag"] = f'"{_oid(content)}"'
        status = 200
        if found := re.fullmatch(r"bytes=(\d+)-", self.headers.get("range") or ""):
            status, whole, begin = 206, len(content), int(found[1])
            headers["Content-Range"] = f"bytes {begin}-{whole - 1}/{whole}"
            content = content[begin:]
        if self.command == "GET" and self.hub.break_after is not None and _mode_of(path) == "lfs":
            self._break(content, headers)
            return
        self._send(status, content, headers)

    def _break(self, content: bytes, headers: dict[str, str]) -> None:
        """Promise the whole, send a part, and hang up."""
        kept, self.hub.break_after = self.hub.break_after, None
        self.send_response(200)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content[:kept])
        self.wfile.flush()
        self.close_connection = True


def _oid(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


def _mode_of(path: str) -> str:
    return "lfs" if path.endswith(".safetensors") else "regular"


def _mode(one: dict[str, Any]) -> str:
    return _mode_of(one["path"]) if one["size"] > 64 else "regular"


_NAME = r"([\w.-]+/[\w.-]+)"
_ROUTES: list[tuple[str, Any]] = [
    (r"/api/repos/create", _Handler.create),
    (rf"/api/models/{_NAME}", _Handler.info),
    (rf"/api/models/{_NAME}/tree/([^/]+)/?(.*)", _Handler.tree),
    (rf"/api/models/{_NAME}/preupload/([^/]+)", _Handler.preupload),
    (rf"/api/models/{_NAME}/commit/([^/]+)", _Handler.commit),
    (rf"/{_NAME}\.git/info/lfs/objects/batch", _Handler.batch),
    (r"/storage/(\w+)", _Handler.store),
    (rf"/{_NAME}/resolve/([^/]+)/(.+)", _Handler.resolve),
]
