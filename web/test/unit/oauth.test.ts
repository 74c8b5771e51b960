// Signing in at an issuer that answers one request after the other.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { beforeEach, test, type TestContext } from "node:test";
import { forgetConfig, parseConfig, type IssuerSignIn } from "../../src/sign-in/config.js";
import { parseEndpoints } from "../../src/sign-in/issuer.js";
import { authorizationUrl, callbackIn, challenge, leave, renewToken, signInByCallback } from "../../src/sign-in/oauth.js";
import { signedOutBecause, signIns, signOut, token } from "../../src/sign-in/token.js";

const ISSUER = "https://issuer.example/pool";
const CONFIG: IssuerSignIn = { signIn: "oauth", issuer: ISSUER, clientId: "console", scope: "openid use" };
const PAGE = "https://console.example/";
const METADATA = {
  issuer: ISSUER,
  authorization_endpoint: "https://login.example/authorize?tenant=a",
  token_endpoint: "https://login.example/token",
  revocation_endpoint: "https://login.example/revoke",
  end_session_endpoint: "https://login.example/end",
};
const HOUR = 3600;

interface Sent {
  url: string;
  fields: Record<string, string>;
  headers: Headers;
}

beforeEach(() => {
  signOut();
  forgetConfig();
});

/** A configuration, an issuer and the answers of its token endpoint; returns the requests to that. */
function issuer(context: TestContext, answers: (() => Response)[], config: object = CONFIG): Sent[] {
  const sent: Sent[] = [];
  context.mock.method(globalThis, "fetch", async (url: string, init: RequestInit) => {
    assert.equal(init.credentials, "omit");
    if (url === "/config.json") return Response.json(config);
    if (url === `${ISSUER}/.well-known/openid-configuration`) return Response.json(METADATA);
    sent.push({ url, fields: Object.fromEntries(init.body as URLSearchParams), headers: new Headers(init.headers) });
    const answer = answers[sent.length - 1];
    if (!answer) throw new TypeError("no server");
    return answer();
  });
  return sent;
}

const tokens = (fields: object) => () => Response.json({ token_type: "Bearer", expires_in: HOUR, ...fields });
const refusal = (error: string, status = 400) => () => Response.json({ error }, { status });

/** The addresses that the page has shown instead of the one with the callback. */
function shownAddresses(context: TestContext): string[] {
  const shown: string[] = [];
  Object.assign(globalThis, { history: { replaceState: (_: unknown, __: string, url: string) => shown.push(url) } });
  context.after(() => Reflect.deleteProperty(globalThis, "history"));
  return shown;
}

/** Begins a sign-in; returns what the address of the issuer's page says. */
async function begin(fragment = "", config = CONFIG): Promise<URLSearchParams> {
  return new URL(await authorizationUrl(config, PAGE, fragment)).searchParams;
}

const callback = (fields: Record<string, string>) => ({ search: `?${new URLSearchParams(fields)}`, origin: "https://console.example", pathname: "/" });

/** Signs in; the token endpoint has one answer for that. */
async function complete(fields: Record<string, string> = {}): Promise<void> {
  const state = (await begin()).get("state") ?? "";
  await signInByCallback(callback({ state, code: "c", ...fields }));
}

test("the issuer is asked for a code with a challenge that only this tab can answer", async (context) => {
  issuer(context, []);
  const asked = await begin("#/webhooks");
  assert.equal(asked.get("tenant"), "a");
  const { state, code_challenge, ...others } = Object.fromEntries(asked);
  assert.deepEqual(others, {
    tenant: "a", response_type: "code", client_id: "console", redirect_uri: PAGE, scope: "openid use", code_challenge_method: "S256",
  });
  assert.match(state ?? "", /^[\w-]{43}$/);
  assert.match(code_challenge ?? "", /^[\w-]{43}$/);
  const again = await begin();
  assert.notEqual(again.get("state"), state);
  assert.notEqual(again.get("code_challenge"), code_challenge);
  assert.equal((await begin("", { ...CONFIG, audience: "api" })).get("audience"), "api");
});

test("the challenge is that of RFC 7636, appendix B", async () => {
  assert.equal(await challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
});

test("the code is exchanged with the verifier of the challenge, and the address keeps nothing of it", async (context) => {
  const shown = shownAddresses(context);
  const sent = issuer(context, [tokens({ access_token: "at_1", id_token: "id_1", refresh_token: "rt_1" })]);
  const asked = await begin("#/webhooks");
  const before = signIns.value;
  await signInByCallback(callback({ state: asked.get("state") ?? "", code: "secret-code", iss: ISSUER }));
  assert.deepEqual(shown, ["/#/webhooks"]);
  assert.equal(token.value, "at_1");
  assert.equal(signIns.value, before + 1);
  const { url, fields } = sent[0] ?? { url: "", fields: {} };
  assert.equal(url, METADATA.token_endpoint);
  const { code_verifier: verifier = "", ...others } = fields as Record<string, string>;
  assert.deepEqual(others, { grant_type: "authorization_code", client_id: "console", code: "secret-code", redirect_uri: PAGE });
  assert.equal(createHash("sha256").update(verifier).digest("base64url"), asked.get("code_challenge"));
  const kept = ["ephemeral.token", "ephemeral.grant", "ephemeral.sign-in"].map((key) => sessionStorage.getItem(key)).join();
  assert.ok(!kept.includes("secret-code") && !kept.includes(verifier) && !kept.includes("id_1"), kept);
});

test("a callback that this tab has not asked for is ignored, and signs nobody in or out", async (context) => {
  const shown = shownAddresses(context);
  const sent = issuer(context, [tokens({ access_token: "at_1" })]);
  await signInByCallback(callback({ state: "x", code: "of-an-attacker" }));
  assert.match(signedOutBecause.value ?? "", /not begun in this tab/);
  await complete();
  await begin();
  await signInByCallback(callback({ state: "x", code: "of-an-attacker" }));
  assert.equal(token.value, "at_1");
  assert.equal(sent.length, 1);
  assert.deepEqual(shown, ["/", "/", "/"]);
});

test("a callback counts once", async (context) => {
  shownAddresses(context);
  const sent = issuer(context, [tokens({ access_token: "at_1" }), tokens({ access_token: "at_2" })]);
  const state = (await begin()).get("state") ?? "";
  await signInByCallback(callback({ state, code: "c" }));
  await signInByCallback(callback({ state, code: "c" }));
  assert.equal(sent.length, 1);
  assert.equal(token.value, "at_1");
});

for (const [what, fields, answers, reason] of [
  ["the answer of another issuer", { iss: "https://attacker.example" }, [], /another issuer/],
  ["a code that is refused", {}, [refusal("invalid_grant")], /invalid_grant/],
  ["an issuer that fails", {}, [refusal("down", 503)], /down/],
  ["a token that is no bearer token", {}, [() => Response.json({ access_token: "a", token_type: "mac" })], /no bearer token/],
  ["an answer without a token", {}, [() => Response.json({ token_type: "Bearer" })], /no bearer token/],
] as const) {
  test(`${what} signs nobody in, and the page says why`, async (context) => {
    shownAddresses(context);
    issuer(context, [...answers]);
    await complete(fields);
    assert.equal(token.value, null);
    assert.match(signedOutBecause.value ?? "", reason);
  });
}

test("a refusal of the issuer is said", async (context) => {
  shownAddresses(context);
  const sent = issuer(context, []);
  const state = (await begin()).get("state") ?? "";
  await signInByCallback(callback({ state, error: "access_denied" }));
  assert.match(signedOutBecause.value ?? "", /access_denied/);
  assert.deepEqual(sent, []);
});

test("a token is renewed before it ends, once for all requests, without a new sign-in", async (context) => {
  shownAddresses(context);
  context.mock.timers.enable({ apis: ["Date"], now: 1_000_000 });
  const sent = issuer(context, [
    tokens({ access_token: "at_1", refresh_token: "rt_1" }),
    tokens({ access_token: "at_2", refresh_token: "rt_2" }),
    tokens({ access_token: "at_3" }),
    tokens({ access_token: "at_4" }),
  ]);
  await complete();
  const before = signIns.value;
  context.mock.timers.tick((HOUR - 61) * 1000);
  await renewToken();
  assert.equal(token.value, "at_1");
  context.mock.timers.tick(1000);
  await Promise.all([renewToken(), renewToken(), renewToken()]);
  assert.equal(token.value, "at_2");
  assert.deepEqual(sent[1]?.fields, { grant_type: "refresh_token", client_id: "console", refresh_token: "rt_1" });
  for (const expected of ["at_3", "at_4"]) {
    context.mock.timers.tick(HOUR * 1000);
    await renewToken();
    assert.equal(token.value, expected);
  }
  // An issuer that does not replace its refresh token expects the same one again.
  assert.equal(sent[3]?.fields.refresh_token, "rt_2");
  assert.equal(signIns.value, before);
});

test("a renewal that is refused ends the sign-in; one that fails is repeated", async (context) => {
  shownAddresses(context);
  context.mock.timers.enable({ apis: ["Date"], now: 1_000_000 });
  issuer(context, [tokens({ access_token: "at_1", refresh_token: "rt_1" }), refusal("down", 503), refusal("down", 503), refusal("invalid_grant")]);
  await complete();
  context.mock.timers.tick((HOUR - 30) * 1000);
  await renewToken();
  assert.equal(token.value, "at_1", "the token is still valid");
  context.mock.timers.tick(30_000);
  await assert.rejects(renewToken(), /down/);
  assert.equal(token.value, "at_1", "the issuer may come back");
  await renewToken();
  assert.equal(token.value, null);
  assert.match(signedOutBecause.value ?? "", /has ended/);
});

test("a token that can't be renewed is used until it ends", async (context) => {
  shownAddresses(context);
  context.mock.timers.enable({ apis: ["Date"], now: 1_000_000 });
  issuer(context, [tokens({ access_token: "at_1" })]);
  await complete();
  context.mock.timers.tick((HOUR - 1) * 1000);
  await renewToken();
  assert.equal(token.value, "at_1");
  context.mock.timers.tick(1000);
  await renewToken();
  assert.equal(token.value, null);
});

test("signing out during a renewal stays signed out", async (context) => {
  shownAddresses(context);
  context.mock.timers.enable({ apis: ["Date"], now: 1_000_000 });
  issuer(context, [tokens({ access_token: "at_1", refresh_token: "rt_1" }), tokens({ access_token: "at_2" })]);
  await complete();
  context.mock.timers.tick(HOUR * 1000);
  const renewal = renewToken();
  signOut();
  await renewal;
  assert.equal(token.value, null);
  assert.equal(sessionStorage.getItem("ephemeral.grant"), null);
});

for (const [what, config, expected] of [
  ["as OpenID Connect says", CONFIG, "https://login.example/end?client_id=console&post_logout_redirect_uri=https%3A%2F%2Fconsole.example%2F"],
  ["as the deployment says", { ...CONFIG, signOutUrl: "https://login.example/out" }, "https://login.example/out"],
] as const) {
  test(`signing out ends the sign-in at the issuer too, ${what}`, async (context) => {
    shownAddresses(context);
    const sent = issuer(context, [tokens({ access_token: "at_1", refresh_token: "rt_1" }), () => new Response(null)], config);
    await complete();
    const left: string[] = [];
    await leave({ origin: "https://console.example", assign: (url) => left.push(String(url)) });
    assert.deepEqual([token.value, left], [null, [expected]]);
    assert.deepEqual([sent[1]?.url, sent[1]?.fields], [METADATA.revocation_endpoint, { token: "rt_1", client_id: "console" }]);
  });
}

test("signing out without an issuer leads nowhere", async () => {
  await leave({ origin: PAGE, assign: () => assert.fail("it leads somewhere") });
});

test("only an address with a state and a code or an error is a callback", () => {
  assert.deepEqual(callbackIn("?code=c&state=s"), { code: "c", state: "s", error: null, issuer: null });
  assert.deepEqual(callbackIn("?error=e&state=s&iss=i"), { code: null, state: "s", error: "e", issuer: "i" });
  for (const query of ["", "?", "?code=c", "?state=s", "?error=e"]) assert.equal(callbackIn(query), null, query);
});

test("metadata of another issuer, or without its pages, is refused", () => {
  assert.equal(parseEndpoints(METADATA, ISSUER).endSession, METADATA.end_session_endpoint);
  const table: [object | null, RegExp][] = [
    [{ ...METADATA, issuer: "https://attacker.example" }, /names itself otherwise/],
    [null, /names itself otherwise/],
    [{ ...METADATA, token_endpoint: "http://login.example/token" }, /where to sign in/],
    [{ ...METADATA, authorization_endpoint: "javascript:alert(1)" }, /where to sign in/],
    [{ issuer: ISSUER }, /where to sign in/],
  ];
  for (const [metadata, error] of table) assert.throws(() => parseEndpoints(metadata, ISSUER), error);
  assert.equal(parseEndpoints({ ...METADATA, end_session_endpoint: "javascript:alert(1)" }, ISSUER).endSession, null);
});

test("a configuration says how to sign in, or is refused", () => {
  assert.deepEqual(parseConfig({ signIn: "token", more: 1 }), { signIn: "token" });
  assert.deepEqual(parseConfig(CONFIG), CONFIG);
  for (const wrong of [null, {}, "token", { signIn: "oauth" }, { ...CONFIG, issuer: 1 }]) assert.throws(() => parseConfig(wrong), /how to sign in/);
});
