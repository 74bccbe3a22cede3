"""The command line: ``medssl VERB``. Nothing heavy is imported until a verb runs.

Exit codes: 0 all good · 1 finished, some inputs quarantined · 2 usage or recipe error · 3 input refused or a check
found problems · 4 integrity or security refusal · 5 disk, memory or network · 70 internal · 130/143 after a signal.
"""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Sequence

import typer

from medssl import __version__
from medssl.verbs import data, manifests, recipes, scans, training, weights

_SMALLER = "smaller views or a smaller batch"

app = typer.Typer(
    name="medssl",
    help="Self-supervised learning on 3D medical images: from raw scans to a fine-tuned model.",
    epilog="Start with: medssl demo",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _module in (training, scans, data, manifests, recipes, weights):
    _module.register(app)


def _leave_rights_to_verbs(group: typer.Typer) -> None:
    """Whether a file can be read is told by the verb that reads it, with that error's code."""
    for command in group.registered_commands:
        for default in getattr(command.callback, "__defaults__", None) or ():
            if isinstance(default, typer.models.ParameterInfo):
                default.readable = False
    for inner in group.registered_groups:
        if inner.typer_instance is not None:
            _leave_rights_to_verbs(inner.typer_instance)


_leave_rights_to_verbs(app)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"medssl {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error."),
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """Self-supervised learning on 3D medical images: from raw scans to a fine-tuned model."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave with its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    # threads of torch that wait should sleep: spinning ones slow a shared machine down many times over
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # names that are not UTF-8 are shown escaped instead of ending the answer halfway
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    # --debug may stand anywhere: people add it at the end of the line that failed
    debug = "--debug" in words
    sys.exit(run([word for word in words if word != "--debug"], debug))


def run(words: list[str], debug: bool = False) -> int:
    """Run one command and give its exit code; errors become one line on stderr."""
    from medssl.errors import CheckError, MedsslError, ResourceError, from_os_error, one_line

    try:
        result = typer.main.get_command(app)(args=words, prog_name="medssl", standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except typer.Exit as stop:
        return stop.exit_code
    except (typer.Abort, KeyboardInterrupt):
        print("medssl: stopped", file=sys.stderr)
        return 130
    except typer.TyperException as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            print(error.format_message(), file=sys.stderr)
            return 2
        return _fail(_usage(error), 2, debug)
    except SystemExit as stop:
        # training was asked to stop, and has saved
        print("medssl: stopped; everything is saved, --resume goes on", file=sys.stderr)
        return stop.code if isinstance(stop.code, int) else 70
    except CheckError as error:
        for problem in error.problems:
            print(one_line(problem), file=sys.stderr)
        return _fail(error.line(), error.exit_code, debug)
    except MedsslError as error:
        return _fail(error.line(), error.exit_code, debug)
    except BrokenPipeError:
        # the reader of our output went away; Python would complain once more at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        ours = from_os_error(error, error.filename or _concerned(words))
        return _fail(ours.line(), ours.exit_code, debug)
    except MemoryError:
        ours = ResourceError("not enough memory", path=_concerned(words), code="memory", hint=_SMALLER)
        return _fail(ours.line(), ours.exit_code, debug)
    except Exception as error:
        # the error's own text may repeat a private value of a header: its kind and place say where to look
        reason = f"{type(error).__name__} in {_place(error)}"
        ours = MedsslError(reason, path=_concerned(words), code="internal", hint="please report it; --debug shows more")
        return _fail(ours.line(), ours.exit_code, debug)


def _concerned(words: list[str]) -> str | None:
    """The first file or folder that a command line names."""
    return next((word for word in words[1:] if not word.startswith("-") and os.path.lexists(word)), None)


def _place(error: BaseException) -> str:
    """Where in this package an unexpected error came up, as module and line."""
    home = os.path.dirname(os.path.abspath(__file__)) + os.sep
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(home)]
    return f"{os.path.basename(frames[-1].filename)}:{frames[-1].lineno}" if frames else "a library"


def _usage(error: typer.TyperException) -> str:
    """The line about words of the command line that do not fit."""
    from medssl.errors import one_line
    from medssl.expectations import expectation, show

    reason = error.format_message()
    param, problems = getattr(error, "param", None), getattr(error.__cause__, "errors", None)
    if param is not None and problems is not None:
        _, expected, came = expectation(problems())
        reason = f"{(param.opts or [param.name])[0]}: expected {expected}, got {show(came)}"
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "medssl"
    return one_line(f"medssl: error: {' '.join(reason.split())} [usage] (see {command} --help)")


def _trace() -> None:
    """The traceback at hand, without the texts of other libraries' errors where files were read.

    Such a text may repeat a private value of a header (``could not convert string to float: 'Smith^Jane'``).
    """
    from medssl.errors import MedsslError

    reader = os.path.join(os.path.dirname(os.path.abspath(__file__)), "io") + os.sep
    error, chain = sys.exc_info()[1], []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    for error in reversed(chain):
        frames = traceback.extract_tb(error.__traceback__)
        reading = any(frame.filename.startswith(reader) for frame in frames)
        known = isinstance(error, MedsslError | OSError) or not reading
        text = str(error) if known else "(its text is left out: it may be private)"
        told = [
            "Traceback (most recent call last):\n",
            *traceback.format_list(frames),
            f"{type(error).__name__}: {text}\n",
        ]
        print("".join(told), file=sys.stderr)


def _fail(line: str, code: int, debug: bool) -> int:
    if debug:
        _trace()
    print(line, file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
