# Locks a program of the host, and lists programs that are started meanwhile.
import ctypes, fcntl, os, struct, time
libc = ctypes.CDLL(None)
locked = open("/usr/bin/env", "rb")
fcntl.flock(locked, fcntl.LOCK_EX)
fd = libc.inotify_init1(os.O_NONBLOCK)
IN_OPEN = 0x20
libc.inotify_add_watch(fd, b"/usr/bin", IN_OPEN)
print("watching", flush=True)
names, until = set(), time.time() + 4
while time.time() < until:
    try:
        data = os.read(fd, 65536)
    except BlockingIOError:
        time.sleep(0.02)
        continue
    while data:
        _, _, _, length = struct.unpack_from("iIII", data)
        names.add(data[16:16 + length].rstrip(b"\0").decode())
        data = data[16 + length:]
print(sorted(names))
