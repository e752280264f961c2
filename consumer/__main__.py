"""`python -m consumer`: the service, or one of the commands for those who look after it."""

import importlib
import os
import signal
import sys
from importlib.metadata import version

from consumer.errors import UrgencyRouterError

# What can be asked for instead of the service, and the module that does it: its `main` takes the arguments
# and gives the exit code, and its `parser` tells what they can be.
COMMANDS = {
    "completion": "completion",
    "doctor": "doctor.command",
    "replay": "replay",
    "tail": "tail.command",
}

WRONG_USE = 2


def main(arguments: list[str] | None = None) -> int:
    """Run the service or a command, and give the process's exit code.

    What ends without harm ends quietly: Ctrl-C with 130, and a reader of the output that is gone with 141.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if "--version" in arguments:
        print(version("urgency-router"))
        return 0
    name = "" if not arguments or arguments[0].startswith("-") else arguments[0]
    if name and name not in COMMANDS:
        print(f"consumer: there is no command {name!r}, but {', '.join(COMMANDS)}", file=sys.stderr)
        return WRONG_USE
    try:
        # Imported only when asked for: what the service needs takes a second to load.
        module = importlib.import_module(f"consumer.{COMMANDS[name] if name else 'serve'}")
        code = int(module.main(arguments[1:] if name else arguments))
        sys.stdout.flush()
        return code
    except UrgencyRouterError as error:
        print(f"consumer{name and ' '}{name}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BrokenPipeError:
        # Python writes what is left once more when it ends, and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE


if __name__ == "__main__":
    sys.exit(main())
