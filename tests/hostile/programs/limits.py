# Takes what the kernel limits by user, until it refuses; or tries to get one of each.
import ctypes, os, socket, sys, time
libc = ctypes.CDLL(None, use_errno=True)
# System calls of x86-64.
TIMER_CREATE, SIGQUEUE, MQ_OPEN, IO_SETUP, KEYCTL = 222, 129, 240, 206, 250
take = sys.argv[1] == "take"


def inotify():
    return libc.inotify_init1(0)


def timer():
    ident = ctypes.c_int()
    return libc.syscall(TIMER_CREATE, 0, None, ctypes.byref(ident))


number = 0


def queue():
    global number
    number += 1
    return libc.syscall(MQ_OPEN, f"q{os.getpid()}{number}".encode(), os.O_CREAT | os.O_RDWR, 0o600, None)


def pipe():
    ends = os.pipe()
    # The size shrinks when a user has used up the pages of pipes.
    import fcntl
    F_GETPIPE_SZ = 1032
    size = fcntl.fcntl(ends[0], F_GETPIPE_SZ)
    if not take:
        return 0 if size >= 65536 else -1
    os.set_blocking(ends[1], False)
    try:
        fcntl.fcntl(ends[0], 1031, 1 << 20)
    except OSError:
        return -1
    return 0


def terminal():
    return os.posix_openpt(os.O_RDWR) if hasattr(os, "posix_openpt") else os.open("/dev/ptmx", os.O_RDWR)


attempts = {"inotify": inotify, "timers": timer, "message queues": queue, "pipes": pipe, "terminals": terminal}
failed = []
for name, attempt in attempts.items():
    # Descriptors: each kind has its own process.
    if take:
        if os.fork() == 0:
            for _ in range(100_000 if name == "timers" else 3_500):
                try:
                    if attempt() < 0:
                        break
                except OSError:
                    break
            open(f"/tmp/{os.getpid()}.taken", "w").close()
            time.sleep(60)
            os._exit(0)
    else:
        try:
            if attempt() < 0:
                failed.append(name)
        except OSError as error:
            failed.append(f"{name}: {error}")
if take:
    while len([each for each in os.listdir("/tmp") if each.endswith(".taken")]) < len(attempts):
        time.sleep(0.05)
    print("taken", flush=True)
    time.sleep(60)
else:
    print(", ".join(failed) or "all work")
