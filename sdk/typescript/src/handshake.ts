// The handshake that AWS's agent may ask for before a terminal.

/** The client version that is reported: the oldest release of AWS's client that AWS documents as supported. */
export const CLIENT_VERSION = "1.2.764.0";

const Status = { success: 1, failed: 2, unsupported: 3 } as const;

/** The response to a request, as a client without encryption. */
export function answerHandshake(request: unknown): unknown {
  const { RequestedClientActions: requested } = request as { RequestedClientActions?: unknown };
  const actions = Array.isArray(requested) ? (requested as unknown[]) : [];
  const processed = actions.map((action) => {
    const type = String((action as { ActionType?: unknown } | null)?.ActionType ?? "");
    const [status, error] = process(type);
    return { ActionType: type, ActionStatus: status, ActionResult: null, Error: error };
  });
  const errors = processed.map((action) => action.Error).filter((error) => error !== "");
  return { ClientVersion: CLIENT_VERSION, ProcessedClientActions: processed, Errors: errors };
}

function process(type: string): [number, string] {
  if (type === "SessionType") return [Status.success, ""];
  if (type === "KMSEncryption") return [Status.failed, "KMS encryption is not supported"];
  return [Status.unsupported, `unsupported action ${type}`];
}
