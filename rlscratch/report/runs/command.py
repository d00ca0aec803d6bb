"""rlscratch report RUN [RUN]: a page about a run, or about two side by side.

    rlscratch report runs/grpo                    runs/grpo/index.html
    rlscratch report runs/grpo runs/grpo-2        both on one page, runs/grpo/beside-grpo-2.html
    rlscratch report runs/grpo --live             served at 127.0.0.1 while another process trains

Every training command takes --page, which writes it at the end, and --live.
"""
import argparse
import contextlib
import sys
from collections.abc import Callable
from pathlib import Path

from rlscratch import check
from rlscratch.report.runs import live


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `rlscratch report`."""
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="the folder of a run, or of two")
    parser.add_argument("--out", type=Path, metavar="FILE",
                        help="where the page goes (default: in the first RUN index.html, or for two beside-NAME.html)")
    parser.add_argument("--live", nargs="?", const=live.PORT, type=int, metavar="PORT",
                        help=f"serve the page at {live.HOST} instead, and look again as the run goes on "
                             f"(the port when it is left out: {live.PORT})")


def run(args: argparse.Namespace) -> int:
    """Write the page and print its path, or serve it until Ctrl-C; 0.

    Raises ValueError for a folder without a run, more than two, or a port in use.
    """
    from rlscratch.report.runs import page  # it draws, and --help needs no figures
    if len(args.runs) > 2:
        check.fail("RUN", len(args.runs), "one folder or two")
    if args.out is not None and (args.out.is_dir() or not args.out.name):
        check.fail("--out", str(args.out), "a file, not a folder")
    if args.live is None:
        print(page.write(args.runs, args.out))
        return 0
    for folder in args.runs:
        page.read(folder)
    with live.listening(args.live) as listener, contextlib.suppress(KeyboardInterrupt):
        live.serve(args.runs, listener)
    return 0


def with_page(train: Callable[[argparse.Namespace], int], args: argparse.Namespace) -> int:
    """A training command, its page served while it runs and written when it ends, where that is asked for."""
    with live.served(args):
        status = train(args)
    if getattr(args, "page", False) and args.run_dir is not None:
        from rlscratch.report.curves import of_finished
        from rlscratch.report.runs import page
        path = of_finished(Path(args.run_dir), lambda folder: page.write([folder]))
        if path and not args.quiet:
            print(f"page: {path}", file=sys.stderr)
    return status
