import { useState } from "preact/hooks";
import { get, post } from "../api/client.js";
import { useQuery } from "../api/query.js";
import { useSubmission } from "../api/submit.js";
import type { Delivery } from "../api/types.js";
import { clockTime, dateTime, duration, shortId } from "../format.js";
import { sessionLink, webhooksLink } from "../route.js";
import { Icon } from "../ui/icon.js";
import { useNow } from "../ui/now.js";
import { Ago, Badge, Button, Copyable, Empty, Failure, Skeleton, Unreadable, type Tone } from "../ui/parts.js";
import { Paging } from "./sessions.js";

const PAGE = 25;
const REFRESH_MS = 2500;

const TONES: Record<Delivery["status"], Tone> = { pending: "busy", delivered: "good", dead: "bad", disabled: "idle" };

/** The deliveries of webhooks, with each attempt. */
export function WebhooksPage({ sessionId }: { sessionId: string | undefined }) {
  const [cursors, setCursors] = useState<string[]>([]);
  const cursor = cursors.at(-1);
  const list = useQuery(
    `deliveries ${cursor ?? ""}`,
    (signal) => {
      const query = { limit: PAGE, ...(sessionId ? { sessionId } : {}), ...(cursor ? { cursor } : {}) };
      return get("/v1/webhooks/deliveries", { query }, { signal });
    },
    () => REFRESH_MS,
  );
  const now = useNow(1000);
  return (
    <>
      <div class="page-head">
        <h1>Webhooks</h1>
        {sessionId && (
          <span class="muted">
            of <a href={sessionLink(sessionId)}>{shortId(sessionId)}</a> · <a href={webhooksLink}>show all</a>
          </span>
        )}
      </div>
      {list.error && list.data && <Failure error={list.error} onRetry={list.refresh} />}
      {list.error && !list.data && (
        <Unreadable title="The deliveries can’t be read" error={list.error} onRetry={list.refresh} />
      )}
      {list.isLoading && <Skeleton lines={4} label="Reading the deliveries" />}
      {list.data?.data.length === 0 && (
        <Empty icon="hook" title="No deliveries">
          <p>
            A session that is started with a webhook URL reports its events there. Each delivery appears here, with
            its attempts and answers.
          </p>
        </Empty>
      )}
      {list.data && list.data.data.length > 0 && (
        <ul class="card list" aria-label="Deliveries">
          {list.data.data.map((delivery) => (
            <DeliveryRow key={delivery.deliveryId} delivery={delivery} now={now} onChange={list.refresh} />
          ))}
        </ul>
      )}
      <Paging
        page={cursors.length + 1}
        next={list.data?.nextCursor ?? null}
        onNext={(next) => setCursors([...cursors, next])}
        onBack={() => setCursors(cursors.slice(0, -1))}
      />
    </>
  );
}

function DeliveryRow({ delivery, now, onChange }: { delivery: Delivery; now: number; onChange: () => void }) {
  const redeliver = useSubmission(async (id: string, idempotencyKey) => {
    await post("/v1/webhooks/deliveries/{id}/redeliver", { id }, { idempotencyKey });
    onChange();
  });
  return (
    <li>
      <details class="delivery">
        <summary>
          <Badge tone={TONES[delivery.status]}>{delivery.status}</Badge>
          <strong>{delivery.type}</strong>
          <span class="muted">{lastAnswer(delivery)}</span>
          <span class="muted when">
            <Ago at={delivery.createdAt} now={now} />
          </span>
          <Icon name="down" />
        </summary>
        <div class="delivery-body">
          <p>
            Session <a href={sessionLink(delivery.sessionId)}>{shortId(delivery.sessionId)}</a>, created{" "}
            {dateTime(delivery.createdAt)}, webhook-id <Copyable text={delivery.deliveryId} />
          </p>
          <Attempts delivery={delivery} />
          {delivery.status === "pending" && delivery.nextAttemptAt && (
            <p class="muted">{nextAttempt(Date.parse(delivery.nextAttemptAt) - now)}</p>
          )}
          {redeliver.error && <Failure error={redeliver.error} />}
          <Button
            icon="again"
            label="Redeliver"
            disabled={delivery.status === "pending" || redeliver.isSending}
            onClick={() => void redeliver.send(delivery.deliveryId)}
          />
        </div>
      </details>
    </li>
  );
}

function lastAnswer(delivery: Delivery): string {
  const count = delivery.attempts.length;
  const last = delivery.attempts.at(-1);
  if (!last) return "no attempt yet";
  const answer = last.status ? `HTTP ${last.status}` : (last.error ?? "no answer");
  return count === 1 ? answer : `${answer} · ${count} attempts`;
}

function nextAttempt(ms: number): string {
  return ms > 0 ? `Next attempt in ${duration(Math.ceil(ms / 1000) * 1000).replace(/\.00 s|\.0 s/, " s")}` : "Next attempt now";
}

function Attempts({ delivery }: { delivery: Delivery }) {
  if (delivery.attempts.length === 0) return null;
  return (
    <ol class="attempts" aria-label="Attempts">
      {delivery.attempts.map((attempt) => (
        <li key={attempt.at}>
          <time dateTime={attempt.at} title={dateTime(attempt.at)}>
            {clockTime(attempt.at)}
          </time>
          {attempt.status !== undefined && (
            <Badge tone={attempt.status < 300 ? "good" : "bad"}>HTTP {attempt.status}</Badge>
          )}
          {attempt.error && <span>{attempt.error}</span>}
        </li>
      ))}
    </ol>
  );
}
