"""The programs: send what was asked to the manager, and do what it answers.

They start hundreds of times in a test, so this imports what the interpreter has built in and
nothing else: neither ``os`` nor ``json`` nor ``socket``, which take longer than all the rest.
"""

import _socket
import marshal
import posix
import sys
import time


def main(directory: str, program: str) -> None:
    """Run one program.

    :param directory: of the manager
    """
    argv = sys.argv[1:]
    question: dict[str, object] = {
        "program": program,
        "argv": argv,
        "env": {_text(name): _text(value) for name, value in posix.environ.items()},
        "cwd": posix.getcwd(),
        "stdin": sys.stdin.read() if argv[-1:] == ["-"] else "",
    }
    try:
        answer = ask(directory, question)
    except OSError as error:
        sys.stderr.write(f"{program}: error: connection refused ({error.strerror})\n")
        sys.exit(2)
    time.sleep(float(str(answer["seconds"])))
    sys.stdout.buffer.write(str(answer["out"]).encode("latin-1", "replace"))
    sys.stderr.buffer.write(str(answer["err"]).encode("utf-8", "replace"))
    sys.stdout.flush()
    sys.stderr.flush()
    posix._exit(int(str(answer["rc"])))


def ask(directory: str, question: dict[str, object]) -> dict[str, object]:
    """Send a question to the manager, and return its answer."""
    connection = _socket.socket(_socket.AF_UNIX)
    # Below /proc/self/fd a socket's path is short, however deep its directory is.
    handle = posix.open(directory, posix.O_RDONLY)
    try:
        connection.connect(f"/proc/self/fd/{handle}/socket")
    finally:
        posix.close(handle)
    try:
        connection.sendall(marshal.dumps(question))
        connection.shutdown(_socket.SHUT_WR)
        parts = []
        while part := connection.recv(1 << 20):
            parts.append(part)
    finally:
        connection.close()
    if not parts:
        raise OSError(0, "no answer")
    answer: dict[str, object] = marshal.loads(b"".join(parts))
    return answer


def _text(value: object) -> str:
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)
