"""SSH signatures of bytes, by OpenSSH's own ssh-keygen: made with a private key, checked against public ones.

Facts: ssh-keygen(1) `-Y sign` and `-Y verify`, ALLOWED SIGNERS; OpenSSH 8.2 or newer. A signature is made
for a namespace, so that one of a Git commit or a login is none of a snapshot.
"""

import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from canaryfleet.errors import Place, Problems, one_line, problem

NO_SSH = "CF027"
NOBODY = b"No user exists for uid"  # ssh-keygen.c, main: whatever it is asked
NOT_SIGNED = "CF028"
TIMEOUT = 30


def sign(data: bytes, key: str, namespace: str) -> bytes:
    """The signature of `data` by the private key in the file `key`, or by the agent that has it.

    Raises Problems: CF027 there is no ssh-keygen, CF028 it could not sign.
    """
    done = _ssh_keygen("sign", "-f", key, "-n", namespace, stdin=data)
    if done.returncode or not done.stdout:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        why = f"the snapshot can't be signed: {said[-1] if said else 'ssh-keygen failed'}"
        remedy = "give a private SSH key without a passphrase that only you may read"
        raise problem(Place(os.path.basename(key)), NOT_SIGNED, why, remedy)
    return done.stdout


class Signers:
    """Who may sign for a namespace, by name."""

    def __init__(self, folder: str, namespace: str, keys: Mapping[str, Sequence[str]]) -> None:
        self._namespace, self._folder = namespace, folder
        self._allowed = os.path.join(folder, "allowed")
        lines = [
            f'{name} namespaces="{namespace}" {key}\n' for name, public in keys.items() for key in public
        ]
        with open(self._allowed, "w", encoding="ascii") as file:
            file.writelines(lines)

    def signed(self, name: str, data: bytes, signature: bytes) -> bool:
        """Whether one of the keys of `name` has signed exactly `data`; raises Problems CF027."""
        with tempfile.NamedTemporaryFile(dir=self._folder) as file:
            file.write(signature)
            file.flush()
            words = ("-f", self._allowed, "-I", name, "-n", self._namespace, "-s", file.name)
            return _ssh_keygen("verify", *words, stdin=data).returncode == 0


@contextmanager
def signers(namespace: str, keys: Mapping[str, Sequence[str]]) -> Iterator[Signers]:
    """The public keys of each name, as ssh-keygen wants them: in a file, for as long as it is needed."""
    with tempfile.TemporaryDirectory(prefix="canaryfleet-") as folder:
        yield Signers(folder, namespace, keys)


def _ssh_keygen(verb: str, *words: str, stdin: bytes) -> subprocess.CompletedProcess[bytes]:
    try:
        done = subprocess.run(
            ["ssh-keygen", "-Y", verb, *words],
            input=stdin,
            capture_output=True,
            timeout=TIMEOUT,
            check=False,
            start_new_session=True,  # without a terminal it can't wait for a passphrase
        )
    except FileNotFoundError:
        raise _missing() from None
    except subprocess.TimeoutExpired:
        raise problem(Place("."), NOT_SIGNED, f"ssh-keygen took longer than {TIMEOUT} s") from None
    if done.returncode and done.stderr.startswith(NOBODY):  # which is said of neither key nor signature
        remedy = "run it as a user that /etc/passwd has, or add a line for this one"
        raise problem(
            Place("."), NO_SSH, f"ssh-keygen refuses to work: {one_line(done.stderr.decode())}", remedy
        )
    return done


def _missing() -> Problems:
    return problem(
        Place("."), NO_SSH, "ssh-keygen is not installed", "install OpenSSH's client, or put it on the PATH"
    )
