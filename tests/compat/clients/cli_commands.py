"""runninghub-cli's `rh`, unchanged: one command after the other. Run with its own environment's Python:

python cli_commands.py ADDRESS KEY COMMANDS

`COMMANDS` is JSON, a list of argument lists; prints `[exit code, output]` of each as one line of JSON. The
package has RunningHub's address in constants, and they are all that is set, except that its pause between
two polls is shortened from 5 s.
"""

import json
import os
import sys

from click.testing import CliRunner
from rh import cli, client

RUNNINGHUB = "https://www.runninghub.cn"
PAUSE_S = 0.05


def set_address(address: str) -> None:
    for name, value in list(vars(client).items()):
        if isinstance(value, str) and value.startswith(RUNNINGHUB):
            setattr(client, name, value.replace(RUNNINGHUB, address))


if __name__ == "__main__":
    address, key, commands = sys.argv[1:]
    set_address(address)
    client.POLL_INTERVAL = PAUSE_S
    os.environ["RH_API_KEY"] = key
    results = [CliRunner().invoke(cli.cli, arguments) for arguments in json.loads(commands)]
    print(json.dumps([[result.exit_code, result.stdout] for result in results]))
