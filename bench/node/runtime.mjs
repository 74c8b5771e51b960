// As little of Lambda's own Node.js runtime as calls a handler: less than the real one does.
// https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
import { Agent, request } from "node:http";
import { handler } from "./api.mjs";

const [hostname, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(":");
const agent = new Agent({ keepAlive: true });

function call(method, path, body) {
  return new Promise((resolve, reject) => {
    const headers = body === undefined ? {} : { "content-length": Buffer.byteLength(body) };
    path = `/2018-06-01/runtime/invocation/${path}`;
    const sent = request({ agent, hostname, port, method, path, headers }, (answer) => {
      const parts = [];
      answer.on("data", (part) => parts.push(part));
      answer.on("end", () => resolve([answer.headers, Buffer.concat(parts).toString()]));
    });
    sent.on("error", reject).end(body);
  });
}

for (;;) {
  const [headers, event] = await call("GET", "next");
  const answer = await handler(JSON.parse(event));
  await call("POST", `${headers["lambda-runtime-aws-request-id"]}/response`, JSON.stringify(answer));
}
