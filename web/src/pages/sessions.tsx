import { useState } from "preact/hooks";
import { get } from "../api/client.js";
import { useQuery } from "../api/query.js";
import { hasEnded, type Accepted, type Session, type SessionStatus } from "../api/types.js";
import { cpu, mebibytes, shortId } from "../format.js";
import { goTo, jobLink, sessionLink } from "../route.js";
import { SessionActions } from "../session/actions.js";
import { StartDialog } from "../session/start-dialog.js";
import { Icon } from "../ui/icon.js";
import { Lifetime } from "../ui/lifetime.js";
import { useNow } from "../ui/now.js";
import { Ago, Button, Copyable, Empty, Failure, Metadata, SessionBadge, Skeleton, Unreadable } from "../ui/parts.js";

const PAGE = 25;
const BUSY_MS = 1000;
const CALM_MS = 3000;
const STATUSES: readonly SessionStatus[] = [
  "queued", "provisioning", "starting", "ready", "stopping", "stopped", "failed",
];

/** The user's sessions, newest first. */
export function SessionsPage() {
  const [status, setStatus] = useState<SessionStatus | "">("");
  const [text, setText] = useState("");
  // The cursors of the pages before this one and of this one; the first page has none.
  const [cursors, setCursors] = useState<string[]>([]);
  const [isStarting, setStarting] = useState(false);
  const [secret, setSecret] = useState<Accepted | null>(null);
  const cursor = cursors.at(-1);
  const list = useQuery(
    `sessions ${status} ${cursor ?? ""}`,
    (signal) => {
      const query = { limit: PAGE, ...(status ? { status } : {}), ...(cursor ? { cursor } : {}) };
      return get("/v1/sessions", { query }, { signal });
    },
    ({ data }) => (data.some(isMoving) ? BUSY_MS : CALM_MS),
  );
  const started = (accepted: Accepted) => {
    setStarting(false);
    list.refresh();
    if (accepted.webhookSecret) setSecret(accepted);
    else if (accepted.commandJobId) goTo(jobLink(accepted.commandJobId));
  };
  const sessions = (list.data?.data ?? []).filter((session) => matches(session, text));
  const isFiltered = status !== "" || text !== "";
  return (
    <>
      <div class="page-head">
        <h1>Sessions</h1>
        <QuotaBar sessions={list.data?.data} />
        <Button icon="plus" label="New session" kind="primary" onClick={() => setStarting(true)} />
      </div>
      {secret && <WebhookSecret accepted={secret} onClose={() => setSecret(null)} />}
      <div class="filters">
        <label class="search">
          <Icon name="search" />
          <span class="visually-hidden">Filter by id, image or metadata</span>
          <input
            type="search"
            placeholder="Filter by id, image or metadata"
            value={text}
            onInput={(event) => setText(event.currentTarget.value)}
          />
        </label>
        <label>
          <span class="visually-hidden">Status</span>
          <select
            value={status}
            onChange={(event) => {
              setStatus(event.currentTarget.value as SessionStatus | "");
              setCursors([]);
            }}
          >
            <option value="">All statuses</option>
            {STATUSES.map((each) => (
              <option key={each}>{each}</option>
            ))}
          </select>
        </label>
      </div>
      {list.error && list.data && <Failure error={list.error} onRetry={list.refresh} />}
      {list.error && !list.data && (
        <Unreadable title="The sessions can’t be read" error={list.error} onRetry={list.refresh} />
      )}
      {list.isLoading && <Skeleton lines={4} label="Reading the sessions" />}
      {list.data && sessions.length > 0 && <SessionList sessions={sessions} onChange={list.refresh} />}
      {list.data && sessions.length === 0 && (
        <NoSessions isFiltered={isFiltered} onStart={() => setStarting(true)} />
      )}
      <Paging
        page={cursors.length + 1}
        next={list.data?.nextCursor ?? null}
        onNext={(next) => setCursors([...cursors, next])}
        onBack={() => setCursors(cursors.slice(0, -1))}
      />
      {isStarting && <StartDialog onClose={() => setStarting(false)} onStarted={started} />}
    </>
  );
}

function isMoving(session: Session): boolean {
  return !hasEnded(session) && session.status !== "ready";
}

function matches(session: Session, text: string): boolean {
  const needle = text.trim().toLowerCase();
  const fields = [session.sessionId, session.image, ...Object.entries(session.metadata).map((pair) => pair.join("="))];
  return needle === "" || fields.some((field) => field.toLowerCase().includes(needle));
}

function SessionList({ sessions, onChange }: { sessions: Session[]; onChange: () => void }) {
  const now = useNow(1000);
  return (
    <div class="card">
      <div class="session-row list-head" aria-hidden="true">
        <span>Status</span>
        <span>Session</span>
        <span>Shell</span>
        <span>Time left</span>
        <span>Started</span>
        <span />
      </div>
      <ul class="list" aria-label="Sessions">
        {sessions.map((session) => (
          <li key={session.sessionId} class={`session-row ${hasEnded(session) ? "ended" : ""}`}>
            <span>
              <SessionBadge status={session.status} />
            </span>
            <span class="session-name">
              <a href={sessionLink(session.sessionId)} title={session.sessionId}>
                <code>{shortId(session.sessionId)}</code>
              </a>
              <Metadata of={session.metadata} />
            </span>
            <span class="muted">
              {session.image} · {cpu(session.size.cpu)} · {mebibytes(session.size.memoryMiB)}
              {session.network === "egress" && " · egress"}
            </span>
            <Lifetime session={session} now={now} />
            <span class="muted">
              <Ago at={session.createdAt} now={now} />
            </span>
            <span class="row-actions">
              <SessionActions session={session} compact onChange={onChange} />
            </span>
          </li>
        ))}
      </ul>
    </div>
  );
}

function NoSessions({ isFiltered, onStart }: { isFiltered: boolean; onStart: () => void }) {
  if (isFiltered) {
    return (
      <Empty icon="search" title="No session matches">
        <p>Change the filter, or go to another page.</p>
      </Empty>
    );
  }
  return (
    <Empty icon="shell" title="No sessions yet">
      <p>
        A session is a disposable shell. Start one here, or on the command line with <code>ephemeral start</code>.
      </p>
      <Button icon="plus" label="Start a session" kind="primary" onClick={onStart} />
    </Empty>
  );
}

function QuotaBar({ sessions }: { sessions: Session[] | undefined }) {
  const open = sessions?.filter((session) => !hasEnded(session)).length ?? 0;
  // The quota changes with the list.
  const quota = useQuery(`quota ${open}`, (signal) => get("/v1/quota", {}, { signal }), () => CALM_MS);
  if (!quota.data) return <span class="quota" />;
  const { active, limit, queued } = quota.data;
  const text = `${active} of ${limit} active${queued > 0 ? `, ${queued} queued` : ""}`;
  return (
    <span class="quota">
      <meter min={0} max={Math.max(1, limit)} value={Math.min(active, limit)} aria-label={`Quota: ${text}`} />
      <span aria-hidden="true">{text}</span>
    </span>
  );
}

function WebhookSecret({ accepted, onClose }: { accepted: Accepted; onClose: () => void }) {
  return (
    <div class="notice" role="status">
      <div>
        <p>
          This secret signs the webhooks of <a href={sessionLink(accepted.sessionId)}>{shortId(accepted.sessionId)}</a>.
          It is shown only now.
        </p>
        <Copyable text={accepted.webhookSecret ?? ""} />
      </div>
      <Button icon="close" label="Close" kind="quiet" compact onClick={onClose} />
    </div>
  );
}

/** The way from page to page. */
export function Paging(props: { page: number; next: string | null; onNext: (cursor: string) => void; onBack: () => void }) {
  const { next } = props;
  if (props.page === 1 && next === null) return null;
  return (
    <nav class="paging" aria-label="Pages">
      <Button icon="left" label="Newer" disabled={props.page === 1} onClick={props.onBack} />
      <span>Page {props.page}</span>
      <Button icon="right" label="Older" disabled={next === null} onClick={() => next !== null && props.onNext(next)} />
    </nav>
  );
}
