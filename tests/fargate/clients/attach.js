// Attaches to a session with ssm-session, as its README does: sends lines, prints the output.
// The first line of standard input is the session of ExecuteCommand; the other lines are sent.
"use strict";

const { readFileSync } = require("node:fs");
const { ssm } = require("ssm-session");
const WebSocket = require("ws");

const [first, ...lines] = readFileSync(0, "utf8").split("\n");
const session = JSON.parse(first);
const termOptions = { cols: 123, rows: 45 };
const output = 1;
// The message that this library takes the service's start_publication for.
const startPublication = 17;

const connection = new WebSocket(session.streamUrl);
connection.onopen = () => {
  ssm.init(connection, { token: session.tokenValue, termOptions });
  for (const line of lines.filter(Boolean)) {
    ssm.sendText(connection, new TextEncoder().encode(`${line}\r`));
  }
};
connection.onmessage = ({ data }) => {
  const message = ssm.decode(data);
  ssm.sendACK(connection, message);
  if (message.payloadType === output) {
    process.stdout.write(Buffer.from(message.payload));
  } else if (message.payloadType === startPublication) {
    ssm.sendInitMessage(connection, termOptions);
  }
};
connection.onerror = ({ message }) => {
  console.error(message);
  process.exitCode = 1;
};
