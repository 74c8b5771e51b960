# What is visible and writable of the host, and what rights a command has or can gain.
status = dict(line.split(":\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\t" in line)
for name in ["CapInh", "CapPrm", "CapEff", "CapAmb", "CapBnd"]:
    held(name, int(status[name], 16) == 0, status[name])
held("no_new_privs", status["NoNewPrivs"] == "1")
held("seccomp", status["Seccomp"] == "2")
held("user", os.getuid() != 0 and os.getresuid() == (os.getuid(),) * 3)
refused("setuid 0", lambda: os.setuid(0), errno.EPERM)
refused("setgid 0", lambda: os.setgid(0), errno.EPERM)
refused("setgroups", lambda: os.setgroups([0]), errno.EPERM)
for line in open("/proc/mounts"):
    device, point, kind, options = line.split()[:4]
    if point in ("/usr", "/usr/bin", "/tmp", "/home/shelluser", "/dev/shm", "/run", "/var/tmp"):
        held(f"{point} is nosuid", "nosuid" in options.split(","), options)

# What a shell may write: its own directories, and the devices that every program uses.
own = ("/tmp", "/home/shelluser", "/dev/shm", "/dev/mqueue", "/run", "/var/run", "/var/lock", "/var/log", "/var/tmp", "/var/cache")
found, depth = [], 3
for directory, directories, files in os.walk("/"):
    if directory.startswith(("/proc", "/sys")) or directory.count("/") > depth or directory in own:
        directories.clear()
        continue
    if directory.startswith(own):
        directories.clear()
        continue
    if os.access(directory, os.W_OK):
        found.append(directory)
held("directories of the host are read-only", not found, found[:5])
usr = [f"/usr/bin/{name}" for name in os.listdir("/usr/bin")]
found = [path for path in usr if os.access(path, os.W_OK)]
held("programs are read-only", not found, found[:5])
for path in ["/etc/shadow", "/etc/gshadow", "/etc/ssh/ssh_host_rsa_key", "/root/.bashrc", "/var/lib/ephemeral/token"]:
    refused(f"read {path}", lambda: open(path).read())
processes = [open(f"/proc/{pid}/comm").read().strip() for pid in os.listdir("/proc") if pid.isdigit()]
held("no process of the host is shown", set(processes) <= {"runner", "python3", "python3.11", "sh", "bash", "python"}, set(processes))

import resource
for name, most in {"RLIMIT_CORE": 1, "RLIMIT_NOFILE": 4096, "RLIMIT_MEMLOCK": 64 << 10, "RLIMIT_MSGQUEUE": 800 << 10, "RLIMIT_RTPRIO": 0}.items():
    hard = resource.getrlimit(getattr(resource, name))[1] if hasattr(resource, name) else most
    held(f"{name} has a hard limit", 0 <= hard <= most, hard)
    if hasattr(resource, name):
        try:
            resource.setrlimit(getattr(resource, name), (hard, hard + 1))
            held(f"{name} can't be raised", False)
        except (OSError, ValueError):
            held(f"{name} can't be raised", True)


def crash():
    os.chdir("/tmp")
    os.kill(os.getpid(), signal.SIGSEGV)


held("no core dump is written", not os.WCOREDUMP(in_child(crash)) and not [each for each in os.listdir("/tmp") if each.startswith("core")])


def lower():
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("-1000")


refused("be exempt from the out-of-memory killer", lower)
