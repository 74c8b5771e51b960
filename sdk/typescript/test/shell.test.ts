// Shells and commands on a real server.

import assert from "node:assert/strict";
import { ApiError, CommandError, JobFailedError, Shell, WaitTimeoutError, type Chunk } from "../src/index.js";
import { client, onServer, server, withoutStreams } from "./fixture.js";

const lines = (count: number) => Array.from({ length: count }, (_, index) => `${index + 1}\n`).join("");

async function all(chunks: AsyncIterable<Chunk>): Promise<Chunk[]> {
  const list: Chunk[] = [];
  for await (const chunk of chunks) list.push(chunk);
  return list;
}

const text = (chunks: Chunk[], stream = "stdout") =>
  chunks.flatMap((chunk) => (chunk.stream === stream ? [chunk.text] : [])).join("");

onServer("a command has output and an exit code, on the server of this machine", async () => {
  delete process.env.EPHEMERAL_URL;
  delete process.env.EPHEMERAL_TOKEN;
  process.env.EPHEMERAL_DATA_DIR = (await server()).dataDir;
  await using shell = await Shell.start({ ttlSeconds: 600 });
  const result = await shell.run("echo out; echo error >&2; exit 3");
  assert.equal(result.stdout, "out\n");
  assert.equal(result.stderr, "error\n");
  assert.deepEqual([result.status, result.exitCode, result.ok], ["completed", 3, false]);
  assert.ok(result.usage);
});

onServer("files are there before the first command", async () => {
  const files = [{ path: "in/text", content: "grün\n", mode: "0600" }, { path: "bytes", base64: "AP8=" }];
  await Shell.use({ client: await client(), files }, async (shell) => {
    assert.equal((await shell.run("cat in/text; wc -c < bytes")).stdout, "grün\n2\n");
  });
});

onServer("merged output has the order of the writes", async () => {
  await Shell.use({ client: await client() }, async (shell) => {
    const result = await shell.run("for i in $(seq 100); do echo o$i; echo e$i >&2; done", { merge: true });
    const lines = Array.from({ length: 100 }, (_, i) => `o${i + 1}\ne${i + 1}\n`);
    assert.deepEqual([result.stdout, result.stderr], [lines.join(""), ""]);
    const written = result.pieces.map(({ writtenTo, text }) => `${writtenTo} ${text}`);
    const expected = lines.flatMap((_, i) => [`stdout o${i + 1}\n`, `stderr e${i + 1}\n`]);
    assert.deepEqual(written, expected);
  });
});

onServer("merged output is streamed with the streams to which it was written", async () => {
  await Shell.use({ client: await client() }, async (shell) => {
    const line = "echo begin; head -c 300000 /dev/zero >&2; echo; echo the >&2; echo end";
    const job = await shell.submit(line, { merge: true, maxOutputBytes: 200_000 });
    const seen: [string | undefined, number][] = [];
    for await (const chunk of job.stream()) {
      assert.equal(chunk.stream, "stdout");
      seen.push([chunk.writtenTo, chunk.data.length]);
    }
    const result = await job.wait();
    const shown = result.pieces.map(({ writtenTo, offset, data }) => [writtenTo, offset, data.length]);
    assert.deepEqual(shown, [
      ["stdout", 0, 6],
      ["stderr", 6, 99_994],
      ["stderr", 200_015, 99_991],
      ["stdout", 300_006, 1],
      ["stderr", 300_007, 4],
      ["stdout", 300_011, 4],
    ]);
    const ofStderr = seen.filter(([writtenTo]) => writtenTo === "stderr");
    assert.equal(ofStderr.reduce((sum, [, size]) => sum + size, 0), 99_994 + 99_991 + 4);
    assert.deepEqual((await shell.run("echo a; echo b >&2")).pieces, []);
  });
});

onServer("output is passed on while the command runs", async () => {
  await Shell.use({ client: await client() }, async (shell) => {
    const seen: string[] = [];
    let touched: Promise<unknown> | undefined;
    const onOutput = ({ text }: Chunk) => {
      seen.push(text);
      if (text.includes("one")) touched = shell.run("touch seen", { concurrency: "parallel" });
    };
    const command = "echo one; until [ -e seen ]; do sleep 0.01; done; echo two >&2; exit 4";
    const result = await shell.run(command, { timeoutSeconds: 60, onOutput });
    await touched;
    assert.deepEqual([result.stdout, result.stderr, result.exitCode], ["one\n", "two\n", 4]);
    assert.equal(seen.join(""), "one\ntwo\n");
    await assert.rejects(shell.run("exit 1", { check: true, onOutput }), CommandError);
  });
});

onServer("commands of a name share a shell", async () => {
  await Shell.use({ client: await client() }, async (shell) => {
    const shared = { state: "shared", shellName: "main" } as const;
    const first = await shell.run("cd /tmp; x=1", shared);
    assert.deepEqual(first.job.shell, { name: "main", isNew: true, hasEnded: false });
    assert.equal((await shell.run("pwd; echo $x", shared)).stdout, "/tmp\n1\n");
    assert.equal((await shell.run("echo ${x-none}")).stdout, "none\n");
    const last = await shell.run("exit 3", shared);
    assert.deepEqual([last.exitCode, last.job.shell?.hasEnded], [3, true]);
  });
});

onServer("processes are listed and signalled", async () => {
  await Shell.use({ client: await client() }, async (shell) => {
    // Until it is executed, the new process is a copy of the shell.
    const line = "sleep 1000 & until [ $(cat /proc/$!/comm) = sleep ]; do :; done";
    const job = await shell.submit(line, { background: true });
    await job.wait();
    const [process, ...others] = await shell.processes();
    assert.ok(process);
    assert.deepEqual([process.jobId, process.arguments, others], [job.id, ["sleep", "1000"], []]);
    await shell.signalProcess(process, "KILL");
    while ((await shell.processes()).length > 0);
    await assert.rejects(shell.signalProcess(process.pid, 15), { code: "not_found" });
  });
});

onServer("the shell is stopped at the end of the block", async () => {
  let shell: Shell;
  {
    await using inner = await Shell.start({ client: await client() });
    shell = inner;
    assert.equal((await shell.waitReady()).status, "ready");
  }
  await shell.stop();
  assert.equal((await shell.info()).status, "stopped");
  await assert.rejects(shell.run("true"), { code: "session_ended" });
});

onServer("the shell is stopped after an error of the work", async () => {
  let shell: Shell | undefined;
  const work = Shell.use({ client: await client() }, async (inner) => {
    shell = inner;
    await inner.run("true");
    throw new RangeError("mine");
  });
  await assert.rejects(work, RangeError);
  assert.ok(["stopping", "stopped"].includes((await shell!.info()).status));
});

onServer("options reach the shell and the command", async () => {
  const options = { ttlSeconds: 300, idleTimeoutSeconds: 60, env: { A: "1" }, metadata: { k: "v" }, size: { diskMiB: 128 } };
  await Shell.use({ client: await client(), ...options }, async (shell) => {
    const session = await shell.info();
    assert.equal(session.ttlSeconds, 300);
    assert.equal(session.idleTimeoutSeconds, 60);
    assert.equal(session.size.diskMiB, 128);
    const command = { env: { B: "2" }, cwd: "/tmp", stdin: "in\n", shell: "sh", timeoutSeconds: 5 } as const;
    assert.equal((await shell.run("cat; echo $A$B; pwd", command)).stdout, "in\n12\n/tmp\n");
    assert.equal((await shell.run(["printf", "%s|", "a b", "c"])).stdout, "a b|c|");
  });
});

onServer("a command that fails can be an error", async () => {
  await Shell.use({ client: await client() }, async (shell) => {
    await assert.rejects(shell.run("echo first >&2; echo the reason >&2; exit 4", { check: true }), (error: CommandError) => {
      assert.equal(error.message, "the command exited with 4: the reason");
      return error.result.exitCode === 4;
    });
    const late = await shell.run("sleep 60", { timeoutSeconds: 1 });
    assert.ok(late.timedOut);
    assert.throws(() => late.check(), /timed out/);
    assert.equal((await shell.run("kill -9 $$")).signal, 9);
    await assert.rejects(shell.run(["no-such-program"]), (error: JobFailedError) => error.code === "command_not_found");
  });
});

onServer("a job can be cancelled and signalled", async () => {
  await Shell.use({ client: await client() }, async (shell) => {
    const job = await shell.submit("trap 'echo caught; exit 7' INT; echo started; while :; do sleep 0.05; done");
    for await (const chunk of job.stream()) {
      if (chunk.text === "started\n") await job.signal("INT");
    }
    const result = await job.wait();
    assert.deepEqual([result.exitCode, result.stdout], [7, "started\ncaught\n"]);
    const other = await shell.submit("sleep 600");
    await assert.rejects(other.wait({ timeoutSeconds: 0.1 }), WaitTimeoutError);
    await other.cancel();
    assert.equal((await other.wait()).status, "cancelled");
  });
});

onServer("output beyond a page is complete", async () => {
  await Shell.use({ client: await client() }, async (shell) => {
    const result = await shell.run("seq 300000", { maxOutputBytes: 4 << 20 });
    assert.equal(result.stdout, lines(300_000));
    assert.equal(result.missingStdout, 0);
    assert.equal(text(await all(shell.job(result.jobId).stream())), result.stdout);
  });
});

onServer("output that is not kept is counted", async () => {
  await Shell.use({ client: await client() }, async (shell) => {
    const job = await shell.submit("seq 300000", { maxOutputBytes: 1000 });
    const result = await job.wait();
    assert.ok(result.stdout.startsWith("1\n2\n") && result.stdout.endsWith("299999\n300000\n"));
    assert.equal(result.missingStdout, lines(300_000).length - 1000);
    const chunks = await all(job.stream());
    assert.equal(chunks.reduce((sum, chunk) => sum + chunk.missing, 0), result.missingStdout);
    assert.equal(text(chunks), result.stdout);
  });
});

onServer("bytes that are no text arrive unchanged", async () => {
  await Shell.use({ client: await client() }, async (shell) => {
    const job = await shell.submit(String.raw`printf 'gr\303\274n \342\202'; sleep 0.2; printf '\254 \377\376'`);
    assert.equal(text(await all(job.stream())), "grün € \ufffd\ufffd");
    const result = await job.wait();
    assert.deepEqual(Buffer.from(result.stdoutBytes), Buffer.concat([Buffer.from("grün € "), Buffer.from([255, 254])]));
    assert.equal(result.stdout, "grün € \ufffd\ufffd");
    assert.equal(text(await all((await shell.submit(String.raw`printf 'a\342'`)).stream())), "a\ufffd");
    assert.equal((await shell.run(String.raw`printf '\357\273\277a'`)).stdout, "\ufeffa");
  });
});

onServer("a stream and a wait are ended by a signal, and the command runs on", async () => {
  await Shell.use({ client: await client() }, async (shell) => {
    const job = await shell.submit("echo begin; sleep 600");
    const controller = new AbortController();
    const follow = async () => {
      for await (const chunk of job.stream({ signal: controller.signal })) {
        assert.equal(chunk.text, "begin\n");
        controller.abort();
      }
    };
    await assert.rejects(follow(), { name: "AbortError" });
    await assert.rejects(job.wait({ signal: controller.signal }), { name: "AbortError" });
    for await (const chunk of job.stream()) {
      assert.equal(chunk.text, "begin\n");
      break;
    }
    assert.equal((await job.info()).status, "running");
    await job.cancel();
  });
});

onServer("without streams the output is polled", async () => {
  await withoutStreams(async (client) => {
    await Shell.use({ client }, async (shell) => {
      const job = await shell.submit("for i in 1 2 3; do echo $i; sleep 0.5; done; echo e >&2");
      const chunks = await all(job.stream());
      assert.deepEqual([text(chunks), text(chunks, "stderr")], ["1\n2\n3\n", "e\n"]);
      const cut = await shell.submit("seq 300000", { maxOutputBytes: 1000 });
      const parts = await all(cut.stream());
      assert.ok(parts.some((chunk) => chunk.missing > 0));
      assert.equal(text(parts), (await cut.wait()).stdout);
    });
  });
});

onServer("a shell can be found again, has a timeline, and can be extended", async () => {
  const found = await client();
  await Shell.use({ client: found, ttlSeconds: 60 }, async (shell) => {
    const job = await shell.submit("echo found");
    const again = await Shell.attach(shell.id, { client: found });
    assert.equal((await again.job(job.id).wait()).stdout, "found\n");
    assert.deepEqual((await again.jobs()).slice(1).map((each) => each.jobId), [job.id]);
    const sessions = await Shell.list({ client: found, limit: 5 });
    assert.ok(sessions.some((session) => session.sessionId === shell.id));
    const before = (await shell.info()).expiresAt ?? "";
    assert.ok(((await shell.extend(3600)).expiresAt ?? "") > before);
    await shell.stop({ reason: "enough" });
    const types = (await shell.timeline()).map((event) => event.type);
    for (const type of ["accepted", "ready", "extended", "stopped"] as const) assert.ok(types.includes(type), type);
    assert.equal((await shell.info()).note, "enough");
  });
  const unknown = Shell.attach("sh_01ARZ3NDEKTSV4RRFFQ69G5FAV", { client: found });
  await assert.rejects(unknown, (error: ApiError) => error.code === "not_found");
  assert.equal((await found.quota()).limit, 60);
});

onServer("the events of all shells come as they happen", async () => {
  const api = await client();
  const shell = await Shell.use({ client: api, ttlSeconds: 600 }, async (inner) => {
    await inner.run("exit 3");
    return inner;
  });
  const types: string[] = [];
  for await (const event of api.userEvents(0)) {
    if (event.sessionId === shell.id) types.push(event.type);
    if (types.at(-1) === "session.stopped") break;
  }
  assert.deepEqual(types, ["session.ready", "job.completed", "session.stopped"]);
});
