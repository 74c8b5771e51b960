// What the page takes from its address, and keeps for its tab.

import assert from "node:assert/strict";
import { test } from "node:test";
import { learnTime, serverNow } from "../../src/api/clock.js";
import { commandLine, commandOf, remember } from "../../src/commands.js";
import { jobLink, parseRoute, sessionLink, deliveriesLink } from "../../src/route.js";
import { codeIn } from "../../src/sign-in/code.js";
import { signIn, signOut, token } from "../../src/sign-in/token.js";

const SESSION = "sh_01M8CE7YQ6QPEA4VFNNNXX4J4T";
const JOB = "job_01M8CE7ZPV7ETFGDPQGWQFXKC8";

test("each page has a link that leads to it", () => {
  assert.deepEqual(parseRoute(""), { page: "sessions" });
  assert.deepEqual(parseRoute("#/"), { page: "sessions" });
  assert.deepEqual(parseRoute("#/webhooks"), { page: "webhooks" });
  assert.deepEqual(parseRoute(deliveriesLink(SESSION)), { page: "webhooks", sessionId: SESSION });
  assert.deepEqual(parseRoute(sessionLink(SESSION)), { page: "session", id: SESSION });
  assert.deepEqual(parseRoute(jobLink(JOB)), { page: "job", id: JOB });
});

test("a fragment that is no link leads to no page, and never into a request", () => {
  for (const fragment of ["#/jobs/../quota", "#/sessions/sh_1", "#/jobs/" + SESSION, "#code=x", "#/sessions/"]) {
    assert.deepEqual(parseRoute(fragment), { page: "unknown" }, fragment);
  }
});

test("a code is read from the fragment only if it is one", () => {
  const code = "w4vC9tq0-_x1w4vC9tq0-_x1w4vC9tq0-_x1w4vC9tq";
  assert.equal(codeIn(`#code=${code}`), code);
  for (const fragment of ["", "#/", "#code=", "#code=short", `#code=${code}&x=1`, `#/code=${code}`]) {
    assert.equal(codeIn(fragment), null, fragment);
  }
});

test("signing out forgets the token and the commands", () => {
  signIn("eph_secret");
  remember(JOB, { command: ["echo"] });
  assert.equal(token.value, "eph_secret");
  const command = commandOf(JOB);
  assert.equal(command && commandLine(command), "echo");
  signOut();
  assert.equal(token.value, null);
  assert.equal(commandOf(JOB), undefined);
});

test("only the latest 200 commands are kept", () => {
  for (let count = 0; count < 250; count++) remember(`job_${count}`, { command: String(count) });
  assert.equal(commandOf("job_49"), undefined);
  assert.equal(commandOf("job_50")?.command, "50");
  signOut();
});

test("the time is the server's if the clocks differ by more than the answer's delay", () => {
  const now = Date.parse("2026-11-26T12:00:00Z");
  learnTime("Thu, 26 Nov 2026 12:00:01 GMT", now);
  assert.equal(serverNow(now), now);
  learnTime("Thu, 26 Nov 2026 12:10:00 GMT", now);
  assert.ok(Math.abs(serverNow(now) - now - 600_000) <= 1000);
  learnTime(null, now);
  learnTime("never", now);
  assert.ok(serverNow(now) > now);
  learnTime("Thu, 26 Nov 2026 12:00:00 GMT", now);
  assert.equal(serverNow(now), now);
});
