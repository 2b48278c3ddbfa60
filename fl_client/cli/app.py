"""The root command, and what all commands share."""

from __future__ import annotations

import logging
import signal
import sys
from types import FrameType

import typer

from fl_client.cli import audit, client, demo, governance, incentives, job, member, network, score, token
from fl_client.errors import BadInput, CandorError, Refused, Unavailable

REMEDIES = {  # what to do about a contract's refusal, by its code
    400: ". Correct the argument; --help says what it is",
    403: ". Try as another identity, with --identity or --connection",
    404: ". List what there is: candor job list, member list, governance list",
    409: ". See how it stands: candor job list, governance list, token balance",
    425: ". Try again later",
    429: ". Try again later",
}
ADVICE = {  # the same, where its words say more than its code
    "is not founded yet": ". Found it: candor governance found",
    "has not allowed this key": ". Its organisation's admin does: candor member allow",
    "key is not registered": ". Register it: candor member register",
    "the member is left": ". Come back: candor member register",
    "the member is suspended": ". A vote alone ends that: candor governance propose, reinstate-member",
    "the member has another key now": ". Use the key and the certificate that it was rotated to",
}
UNREACHED = ". See whether the network is up: candor network status"
INTERRUPTED = 130

app = typer.Typer(
    help="Federated learning that pays for honest training, for organisations that know each other.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command("demo")(demo.demo)
app.command("incentives")(incentives.incentives)
app.command("score")(score.score)
app.command("audit")(audit.audit)
app.command("export")(audit.export)
app.add_typer(network.app, name="network")
app.add_typer(client.app, name="client")
app.add_typer(governance.app, name="governance")
app.add_typer(member.app, name="member")
app.add_typer(token.app, name="token")
app.add_typer(job.app, name="job")


def main() -> None:
    """Run a command: 0 when it worked, otherwise one sentence on stderr and the error's own exit code."""
    from network.errors import NetworkError

    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.WARNING)
    logging.getLogger("fl_client").setLevel(logging.INFO)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        app(standalone_mode=True)
    except SystemExit as end:
        if end.code == INTERRUPTED:  # typer took the interrupt, and says nothing of it
            print("candor: interrupted", file=sys.stderr)
        raise
    except (CandorError, NetworkError) as error:
        print(f"candor: {error}{_remedy(error)}", file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:
        if not error.filename:  # nobody's file: a defect
            raise
        print(
            f"candor: cannot use {error.filename}: {error.strerror}. Name another place, or change its permissions",
            file=sys.stderr,
        )
        sys.exit(BadInput.exit_code)
    except KeyboardInterrupt:
        print("candor: interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)


def _remedy(error: Exception) -> str:
    """What to do about it, where the error itself does not say."""
    if isinstance(error, Refused):
        told = (advice for words, advice in ADVICE.items() if words in error.message)
        return next(told, REMEDIES.get(error.code, ""))
    return UNREACHED if isinstance(error, Unavailable) and not error.remedy else ""


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
