# PID 1, which holds the results of all jobs.


def inherited():
    found = []
    for fd in range(3, 256):
        try:
            found.append((fd, os.readlink(f"/proc/self/fd/{fd}"), os.fstat(fd).st_mode))
        except OSError:
            pass
    return found


held("no descriptor is inherited", not inherited(), inherited())
for name in ["environ", "maps", "mem", "auxv", "io", "stack", "syscall", "personality", "pagemap"]:
    refused(f"read /proc/1/{name}", lambda: open(f"/proc/1/{name}", "rb").read(1) or "nothing")
for name in ["fd", "fdinfo", "map_files", "task/1/fd", "cwd/", "root/"]:
    refused(f"list /proc/1/{name}", lambda: os.listdir(f"/proc/1/{name}"))
for name in ["cwd", "root", "exe", "ns/mnt", "ns/user"]:
    refused(f"follow /proc/1/{name}", lambda: os.readlink(f"/proc/1/{name}"))
for name in ["oom_score_adj", "timerslack_ns", "coredump_filter", "comm", "clear_refs", "attr/current"]:
    def write(name=name):
        with open(f"/proc/1/{name}", "w") as file:
            file.write("0")
    refused(f"write /proc/1/{name}", write)
for number in [0, 1, 2, 9, 11, 15, 17, 18, 19, 20, 34, 64]:
    refused(f"signal {number} to PID 1", lambda: os.kill(1, number), errno.EPERM)
PTRACE, SEIZE, ATTACH, READV, WRITEV, PIDFD_OPEN, PIDFD_GETFD = 101, 0x4206, 16, 310, 311, 434, 438
held("ptrace seize PID 1", syscall(PTRACE, SEIZE, 1, 0, 0) < 0)
held("ptrace attach PID 1", syscall(PTRACE, ATTACH, 1, 0, 0) < 0)
held("process_vm_readv PID 1", syscall(READV, 1, 0, 0, 0, 0, 0) <= 0)
pidfd = syscall(PIDFD_OPEN, 1, 0)
held("pidfd_getfd PID 1", pidfd < 0 or syscall(PIDFD_GETFD, pidfd, 0, 0) < 0)


def connect():
    with socket.socket(socket.AF_UNIX) as unix:
        unix.connect("/run/ephemeral/runner.sock")


refused("connect to the runner", connect)
for path in ["/run/ephemeral", "/run/ephemeral/jobs", "/run/ephemeral/cgroup", "/root"]:
    refused(f"list {path}", lambda: os.listdir(path))


runner = "/opt/ephemeral/runner"
for arguments in [["--stdio"], ["--keep-user"], ["--socket", "/run/ephemeral/runner.sock", "--jobs", "/run/ephemeral/jobs"]]:
    if os.access(runner, os.X_OK):
        import subprocess
        done = subprocess.run([runner] + arguments, stdin=subprocess.DEVNULL, capture_output=True, timeout=20)
        held(f"runner {arguments[0]}", done.returncode != 0, done.returncode)
