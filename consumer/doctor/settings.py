"""What `doctor` takes: all that the service does, and how to report."""

import inspect

from pydantic_settings import CliToggleFlag, SettingsConfigDict

from consumer.connection import setting
from consumer.settings import Settings


class DoctorSettings(Settings):
    """Check a deployment in one go: one line a check, what was found, and what to do. It changes nothing.

    It takes the service's flags and CONSUMER_… variables: run it where the service runs, with the same ones.
    OK is fine, WARN can go wrong, FAIL must be mended, SKIP was not checked.
    It ends with 0 if nothing FAILs, with 1 if something does, and with 2 if a setting is wrong.
    """

    model_config = SettingsConfigDict(cli_prog_name="python -m consumer doctor")

    check_model: bool = setting(
        True, "load the model and run the golden comments, which takes as much memory as a worker does"
    )
    as_json: CliToggleFlag[bool] = setting(False, "print the findings as JSON, one a line", alias="json")


# argparse prints it as it stands, indentation and all.
DoctorSettings.__doc__ = inspect.cleandoc(DoctorSettings.__doc__ or "")
