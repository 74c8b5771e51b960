import assert from "node:assert/strict";
import { test } from "node:test";
import { changedOptions, commandRequest, emptyCommand } from "../../src/session/command-form.js";
import { FormError } from "../../src/session/start-form.js";

test("a command without options is sent without options", () => {
  assert.deepEqual(commandRequest({ ...emptyCommand, line: "make  test" }), { command: "make  test" });
  assert.equal(changedOptions({ ...emptyCommand, line: "make test" }), 0);
});

test("all options reach the request", () => {
  const form = {
    line: "make test",
    user: " root ",
    cwd: "/srv",
    timeout: "1h",
    shell: "sh",
    keep: "tail",
    isShared: false,
    shellName: "",
    env: "A=1\nB=x=y",
    stdin: "yes\n",
    isParallel: true,
    isBackground: true,
    isMerged: true,
  } as const;
  assert.deepEqual(commandRequest(form), {
    command: "make test",
    user: "root",
    cwd: "/srv",
    timeoutSeconds: 3600,
    shell: "sh",
    keep: "tail",
    env: { A: "1", B: "x=y" },
    stdin: "yes\n",
    concurrency: "parallel",
    background: true,
    merge: true,
  });
  assert.equal(changedOptions(form), 10);
});

test("a command in a shared shell is sent without what would change the shell", () => {
  const before = { ...emptyCommand, line: "cd /srv", cwd: "not a path", shell: "sh", env: "A=1", isParallel: true, isBackground: true } as const;
  const form = { ...before, isShared: true, shellName: " main ", stdin: "yes\n" };
  assert.deepEqual(commandRequest(form), { command: "cd /srv", state: "shared", shellName: "main", stdin: "yes\n" });
  assert.equal(changedOptions(form), 3);
  assert.deepEqual(commandRequest({ ...form, shellName: "" }), { command: "cd /srv", state: "shared", stdin: "yes\n" });
});

test("a name without a shared shell is not sent", () => {
  const form = { ...emptyCommand, line: "true", shellName: "main" };
  assert.deepEqual(commandRequest(form), { command: "true" });
  assert.equal(changedOptions(form), 0);
});

test("what can't be understood is named", () => {
  assert.throws(() => commandRequest({ ...emptyCommand, cwd: "srv" }), /Directory: write a path that begins with \//);
  assert.throws(() => commandRequest({ ...emptyCommand, timeout: "soon" }), /Time limit: write a duration/);
  assert.throws(() => commandRequest({ ...emptyCommand, env: "A" }), FormError);
});
