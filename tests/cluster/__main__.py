"""The command line: `python -m tests.cluster up|down|status|load|logs|kubeconfig|env|kubectl|helm`."""

import argparse
import os
import shlex
import sys
import time
from pathlib import Path

from tests.cluster import lifecycle
from tests.cluster.node import tail
from tests.cluster.settings import ClusterError, Settings, load_settings


def main(arguments: list[str]) -> int:
    """Run one command and return the exit code."""
    options = _parser().parse_args(arguments)
    try:
        settings = load_settings()
        match options.command:
            case "up":
                _up(settings)
            case "down":
                lifecycle.down()
                lifecycle.report(f"down; the built programs stay in {settings.cache}")
            case "status":
                return _status(settings)
            case "load":
                lifecycle.load(options.images)
            case "logs":
                _logs(settings, options.component, options.lines)
            case "kubeconfig":
                print(_existing(settings))
            case "env":
                print(f"export KUBECONFIG={shlex.quote(str(_existing(settings)))}")
                print(f"export PATH={shlex.quote(str(settings.bin))}:$PATH")
            case client:
                _become(settings, client, options.arguments)
    except ClusterError as error:
        lifecycle.report(f"error: {error}")
        return 1
    except (BrokenPipeError, KeyboardInterrupt):
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description="A real single-node Kubernetes.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="bring the cluster up, or repair it")
    commands.add_parser("down", help="remove the cluster; built programs stay in the cache")
    commands.add_parser("status", help="print the state of each part; the exit code is 1 if one is not well")
    load = commands.add_parser("load", help="bring images into the cluster")
    load.add_argument("images", nargs="+", help="name in the local build tool's store, or path of an archive")
    logs = commands.add_parser("logs", help="print the end of the components' logs")
    logs.add_argument("component", nargs="?", help="one component; all of them if left out")
    logs.add_argument("-n", "--lines", type=int, default=40)
    commands.add_parser("kubeconfig", help="print the path of the administrator's kubeconfig")
    commands.add_parser("env", help='print what `eval "$(python -m tests.cluster env)"` sets')
    for client in ("kubectl", "helm"):
        passed = commands.add_parser(client, help=f"run {client} against the cluster", add_help=False)
        passed.add_argument("arguments", nargs=argparse.REMAINDER)
    return parser


def _up(settings: Settings) -> None:
    started = time.monotonic()
    lifecycle.up()
    lifecycle.report(f"up in {time.monotonic() - started:.1f} s; logs and all state are in {settings.state}")
    lifecycle.report('next: eval "$(python -m tests.cluster env)"; kubectl get pods -A')


def _status(settings: Settings) -> int:
    states = lifecycle.status()
    width = max(len(state.name) for state in states)
    for state in states:
        print(f"{state.name:{width}}  {state.pid or '-':>8}  {state.problem or 'well'}")
    lifecycle.report(f"logs and all state are in {settings.state}")
    return int(any(state.problem for state in states))


def _logs(settings: Settings, component: str | None, lines: int) -> None:
    known = {path.stem: path for path in sorted(settings.logs.glob("*.log"))}
    if component is not None and component not in known:
        message = f"there is no log of {component!r}; there are {', '.join(known) or 'none: run up first'}"
        raise ClusterError(message)
    for name, path in known.items():
        if component in {None, name}:
            print(f"==> {path} <==")
            print(tail(path, lines))


def _existing(settings: Settings) -> Path:
    if not settings.kubeconfig.exists():
        message = "there is no cluster: run `python -m tests.cluster up`"
        raise ClusterError(message)
    return settings.kubeconfig


def _become(settings: Settings, client: str, arguments: list[str]) -> None:
    path = f"{settings.bin}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    os.environ |= {"KUBECONFIG": str(_existing(settings)), "PATH": path}
    os.execvp(client, [client, *arguments])  # noqa: S606 - the user asked for this very program


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
