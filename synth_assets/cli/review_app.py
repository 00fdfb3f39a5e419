"""Serving the review app from the command line.

Here: where it binds and for whom, the server, the browser. Not here: the app (review/app/), concluding the review
(rounds.py).
"""

from __future__ import annotations

import ipaddress
import socket
import webbrowser
from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl
from rich.console import Console

from synth_assets.errors import SynthError
from synth_assets.project import Project
from synth_assets.spec import DatasetSpec

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 3001


def serve_review(
    project: Project,
    dataset: str,
    round_: str,
    host: str = DEFAULT_HOST,
    port: int = DEFAULT_PORT,
    open_browser: bool = True,
    *,
    names: Sequence[str] = (),
    certificate: Path | None = None,
    key: Path | None = None,
    console: Console | None = None,
) -> None:
    """Serve a round's review until Ctrl-C; what is decided by then stays decided.

    Beyond this machine only with reviewer accounts. names: further names that people reach it by, such as the one a
    proxy serves it under. certificate, key: files in PEM form; with them it is served over TLS. SynthError if the
    address cannot be used or nothing is drawn to be reviewed.
    """
    import uvicorn

    from synth_assets.review.accounts import Accounts
    from synth_assets.review.app import AppSettings, create_app
    from synth_assets.review.app.lake_work import LakeWork
    from synth_assets.review.decisions import DecisionStore

    console = console or Console()
    spec, store = project.spec(dataset), DecisionStore(project.ops_url)
    at_home = is_loopback(host)
    if not at_home and not Accounts(store.database).exist():
        raise SynthError(
            f"{host} can be reached from other machines, and there are no reviewer accounts yet; add them with "
            "`synth reviewers add NAME`, or leave the review on 127.0.0.1"
        )
    listener = _bind(host, port)
    port = listener.getsockname()[1]
    settings = AppSettings(
        hosts=allowed_hosts(host, port, names),
        accounts_only=not at_home,
        cookie=f"synth_review_{port}",
        next_step="Whoever started this review ends it with Ctrl-C and the batch goes on; where `synth ui` runs, its "
        "sensor goes on by itself.",
    )
    work = LakeWork(project.lake, spec, round_)
    app = create_app(spec, round_, work, store, settings, live_bound=_make_live_bound(project, spec, round_))
    shown = "localhost" if host in ("0.0.0.0", "::") else host  # noqa: S104 - only compared
    url = f"{'https' if certificate else 'http'}://{f'[{shown}]' if ':' in shown else shown}:{port}/"
    console.print(f"review {dataset} {round_} at {url}; Ctrl-C when you are done", highlight=False, soft_wrap=True)
    if not at_home and certificate is None:
        console.print(
            "without --certificate, tokens travel unencrypted: serve it behind a proxy with TLS", style="yellow"
        )
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        limit_concurrency=200,
        ssl_certfile=certificate,
        ssl_keyfile=key,
    )
    if open_browser:
        webbrowser.open(url)
    try:
        uvicorn.Server(config).run(sockets=[listener])
    except KeyboardInterrupt:
        pass
    finally:
        listener.close()
        store.close()


def _make_live_bound(
    project: Project, spec: DatasetSpec, round_: str
) -> Callable[[int, int, int], tuple[float, float]]:
    """Return bounds on the batch's defect rate that may be looked at after every decision."""
    from synth_assets.generation.waves import KEPT
    from synth_assets.review.sequences import RANDOM, bound_counts

    batch = project.lake.read("filtered", spec.name, round_).filter(pl.col("state") == KEPT).height
    weights = project.lake.read("review_sample", spec.name, round_).filter(pl.col("part") == RANDOM)["weight"]

    def live_bound(defects: int, n: int, n_open: int) -> tuple[float, float]:
        return bound_counts(defects, n, n_open, weights, batch, confidence=spec.review.confidence)

    return live_bound


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def allowed_hosts(host: str, port: int, names: Sequence[str] = ()) -> frozenset[str]:
    """Return what a browser may say in its Host header: no other name can be made to point here (DNS rebinding)."""
    own = ["127.0.0.1", "localhost", "::1"]
    if not is_loopback(host):
        own += [host, socket.gethostname(), socket.getfqdn()]
    reachable = {f"[{name}]" if ":" in name else name for name in own} | set(names)
    return frozenset(f"{name}:{port}".lower() for name in reachable) | {name.lower() for name in names}


def _bind(host: str, port: int) -> socket.socket:
    try:
        family, kind, number, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, number)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        raise SynthError(f"{host}:{port} cannot be used: {error.strerror or error}; choose another --port") from error
    return listener
