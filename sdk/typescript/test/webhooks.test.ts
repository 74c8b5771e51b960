// Webhooks: those of a real server, and wrong ones.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import { test } from "node:test";
import { Shell, verifyWebhook, WebhookError } from "../src/index.js";
import { client, onServer, scripted, send } from "./fixture.js";

const SECRET = `whsec_${Buffer.alloc(32, "k").toString("base64")}`;

onServer("a webhook of the server is genuine", async () => {
  let receive: (webhook: [string, IncomingHttpHeaders]) => void;
  const received = new Promise<[string, IncomingHttpHeaders]>((resolve) => (receive = resolve));
  await scripted(
    (request, response, body) => {
      receive([body, request.headers]);
      send(response, 204, "");
    },
    async (url) => {
      await Shell.use({ client: await client(), webhook: { url } }, async (shell) => {
        const [body, headers] = await received;
        const secret = shell.webhookSecret ?? "";
        assert.equal((await verifyWebhook(body, headers, secret)).type, "session.ready");
        assert.equal((await verifyWebhook(Buffer.from(body), headers, secret)).type, "session.ready");
        await assert.rejects(verifyWebhook(`${body} `, headers, secret), /signature/);
        await assert.rejects(verifyWebhook(body, headers, SECRET), /signature/);
        await shell.stop();
      });
    },
  );
});

function signed(seconds: number, body = "{}"): Record<string, string> {
  const key = Buffer.from(SECRET.replace("whsec_", ""), "base64");
  const mac = createHmac("sha256", key).update(`msg_1.${seconds}.${body}`).digest("base64");
  return { "Webhook-Id": "msg_1", "Webhook-Timestamp": String(seconds), "Webhook-Signature": `v1,AAAA v1,${mac}` };
}

test("old and malformed webhooks are refused", async () => {
  const now = Math.floor(Date.now() / 1000);
  assert.deepEqual(await verifyWebhook("{}", signed(now), SECRET), {});
  assert.deepEqual(await verifyWebhook("{}", new Headers(signed(now)), SECRET), {});
  await assert.rejects(verifyWebhook("{}", signed(now - 1000), SECRET), /too old/);
  await verifyWebhook("{}", signed(now - 1000), SECRET, { toleranceSeconds: 2000 });
  for (const name of Object.keys(signed(now))) {
    await assert.rejects(verifyWebhook("{}", { ...signed(now), [name]: undefined }, SECRET), WebhookError);
  }
  await assert.rejects(verifyWebhook("{}", { ...signed(now), "Webhook-Timestamp": "soon" }, SECRET), /malformed/);
  await assert.rejects(verifyWebhook("{}", { ...signed(now), "Webhook-Signature": "v1,*" }, SECRET), /signature/);
  await assert.rejects(verifyWebhook("{}", signed(now), "whsec_*"), /secret/);
});
