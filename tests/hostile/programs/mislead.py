# What a process says about itself, and the host believes.
def lowered():
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("0")


try:
    lowered()
except OSError:
    pass
score = int(open("/proc/self/oom_score_adj").read())
held("be killed as late as the host's own processes", score > 0, score)
if os.path.exists("/proc/self/loginuid"):
    refused("name a user in the audit log", lambda: open("/proc/self/loginuid", "w").write("0") and None)
