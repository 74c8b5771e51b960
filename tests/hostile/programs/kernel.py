# System calls that container escapes have used, other ways to call the kernel, sockets, keys, devices.
EPERM, ENOSYS = -errno.EPERM, -errno.ENOSYS
denied = {
    "acct": 163, "add_key": 248, "bpf": 321, "delete_module": 176, "fanotify_init": 300, "finit_module": 313,
    "fsconfig": 431, "fsmount": 432, "fsopen": 430, "fspick": 433, "init_module": 175, "io_uring_enter": 426,
    "io_uring_register": 427, "io_uring_setup": 425, "ioperm": 173, "iopl": 172, "kcmp": 312, "kexec_file_load": 320,
    "kexec_load": 246, "keyctl": 250, "lookup_dcookie": 212, "mount_setattr": 442, "move_mount": 429,
    "open_by_handle_at": 304, "open_tree": 428, "perf_event_open": 298, "pidfd_getfd": 438, "pivot_root": 155,
    "quotactl": 179, "reboot": 169, "request_key": 249, "setns": 308, "settimeofday": 164, "swapoff": 168,
    "swapon": 167, "unshare": 272, "userfaultfd": 323, "vhangup": 153,
}
for name, number in denied.items():
    result = syscall(number, 0, 0, 0, 0, 0, 0)
    held(name, result in (EPERM, ENOSYS), result)
held("clone3", syscall(435, 0, 0) == ENOSYS)
CLONE = 56
for flag in [0x20000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000]:
    result = syscall(CLONE, flag | signal.SIGCHLD, 0, 0, 0, 0)
    if result == 0:
        os._exit(0)
    held(f"clone with {flag:#x}", result == EPERM, result)
# x32, negative and huge numbers.
for number in [0x40000000 + each for each in (0, 1, 2, 39, 59, 101, 165, 272, 512, 520, 547)] + [-1, -2**31, 2**31 - 1]:
    result = syscall(number, 0, 0, 0, 0, 0, 0)
    held(f"number {number}", result in (EPERM, ENOSYS), result)


def call_i386(number):
    import mmap
    code = b"\xb8" + struct.pack("<I", number) + b"\x31\xdb\x31\xc9\x31\xd2\xcd\x80\xc3"
    area = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    area.write(code)
    address = ctypes.addressof(ctypes.c_char.from_buffer(area))
    ctypes.CFUNCTYPE(ctypes.c_long)(address)()


for name, number in {"getpid": 20, "execve": 11, "socketcall": 102, "socket": 359, "mount": 21}.items():
    status = in_child(lambda: call_i386(number))
    held(f"int 0x80 {name}", os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGSYS, status)

families = {}
for family in range(46):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET, 10):
        try:
            socket.socket(family, kind, 0).close()
            families[family] = kind
        except OSError:
            pass
held("socket families", set(families) <= {1, 2, 10}, families)
for name, arguments in {"raw": (2, 3, 1), "raw of IPv6": (10, 3, 58), "SCTP": (2, 1, 132), "DCCP": (2, 6, 33)}.items():
    refused(f"socket {name}", lambda: socket.socket(*arguments))
unix = [line for line in open("/proc/net/unix").read().splitlines()[1:] if "@" in line]
held("no abstract socket of the host is shown", not unix, unix)
held("no key is shown", open("/proc/keys").read() == "" if os.access("/proc/keys", os.R_OK) else True)

for kind, numbers in {"character": (0o020666, (1, 1)), "block": (0o060666, (254, 0))}.items():
    refused(f"make a {kind} device", lambda: os.mknod(f"/tmp/{kind}", numbers[0], os.makedev(*numbers[1])))
for name in ["mem", "kmem", "port", "kmsg", "vda", "sda", "loop0", "loop-control", "fuse", "kvm", "vsock", "net/tun", "console", "mapper/control"]:
    refused(f"open /dev/{name}", lambda: os.open(f"/dev/{name}", os.O_RDONLY))
import fcntl
TIOCSTI, TIOCSETD = 0x5412, 0x5423
refused("open the controlling terminal", lambda: os.open("/dev/tty", os.O_RDWR))

for path in ["kcore", "kmsg", "slabinfo", "kpagecount", "kpageflags", "timer_list", "sched_debug"]:
    refused(f"read /proc/{path}", lambda: open(f"/proc/{path}", "rb").read(1) or (_ for _ in ()).throw(OSError(0, "empty")))
symbols = [line for line in open("/proc/kallsyms").readlines()[:50] if not line.startswith("0000000000000000")] \
    if os.access("/proc/kallsyms", os.R_OK) else []
held("no address of the kernel is shown", not symbols, symbols[:1])
