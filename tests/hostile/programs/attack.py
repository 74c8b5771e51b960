"""What the attack programs share. Each program prints a line for each attempt: `held NAME` or
`OPEN NAME: what happened`, and `done` at its end."""
import ctypes, errno, os, signal, socket, struct, sys

libc = ctypes.CDLL(None, use_errno=True)


def syscall(number, *args):
    """The result of a system call, or its error number, negative."""
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(each) if isinstance(each, int) else each for each in args])
    return -ctypes.get_errno() if result == -1 else result


def held(name, ok, found=""):
    print(f"held {name}" if ok else f"OPEN {name}: {found}", flush=True)


def refused(name, attempt, *errors):
    """The attempt must raise OSError, with one of these errors if any are given."""
    try:
        found = attempt()
    except OSError as error:
        held(name, not errors or error.errno in errors, errno.errorcode.get(error.errno))
    else:
        held(name, False, f"it succeeded: {found!r}")


def in_child(action):
    """Runs the action in a child process; returns the status of waitpid."""
    child = os.fork()
    if child == 0:
        try:
            action()
        finally:
            os._exit(0)
    return os.waitpid(child, 0)[1]
