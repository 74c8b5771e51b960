# What a process says about itself, and the host believes.
def lowered():
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("0")


try:
    lowered()
except OSError:
    pass
score = int(open("/proc/self/oom_score_adj").read())
# Without the capability SYS_RESOURCE the server can't set the lowest score of its shells.
held("be killed as late as the host's own processes", score > 0 or not SERVER_SETS_SCORES, score)
if os.path.exists("/proc/self/loginuid"):
    login = os.open("/proc/self/loginuid", os.O_WRONLY)
    refused("name a user in the audit log", lambda: os.write(login, b"0"))
