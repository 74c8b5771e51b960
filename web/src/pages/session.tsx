import { useMemo, useState } from "preact/hooks";
import { get, Refused } from "../api/client.js";
import { JobPages, type JobList } from "../api/jobs.js";
import { useQuery } from "../api/query.js";
import { Timeline } from "../api/timeline.js";
import { hasEnded, isCommand, isFinal, type Job, type Session, type TimelineEvent } from "../api/types.js";
import { jobName } from "../commands.js";
import { bytes, clockTime, cpu, dateTime, duration, mebibytes, seconds, shortId } from "../format.js";
import { deliveriesLink, goTo, jobLink, sessionsLink } from "../route.js";
import { SessionActions } from "../session/actions.js";
import { RunForm } from "../session/run-form.js";
import { WaterfallView } from "../session/waterfall-view.js";
import { TerminalPanel } from "../terminal/panel.js";
import { Lifetime } from "../ui/lifetime.js";
import { useNow } from "../ui/now.js";
import { Copyable, Empty, Fact, Facts, Failure, JobBadge, Metadata, SessionBadge, Skeleton, Unreadable } from "../ui/parts.js";

const BUSY_MS = 700;
const CALM_MS = 2000;

interface Life {
  session: Session;
  events: TimelineEvent[];
  list: JobList;
}

/** One session: what happened, its jobs, and a line to run commands. */
export function SessionPage({ id }: { id: string }) {
  const readers = useMemo(() => ({ timeline: new Timeline(id), jobs: new JobPages(id) }), [id]);
  const life = useQuery<Life>(
    id,
    async (signal) => {
      // The session is read first: what follows is then at least as new, and complete once it has ended.
      const session = await get("/v1/sessions/{id}", { id }, { signal });
      const [events, list] = await Promise.all([readers.timeline.read(signal), readers.jobs.read(signal)]);
      return { session, events, list };
    },
    ({ session, list }) => (hasEnded(session) ? null : isCalm(session, list.jobs) ? CALM_MS : BUSY_MS),
  );
  if (life.data) return <Loaded life={life.data} error={life.error} onChange={life.refresh} />;
  if (life.error) return <Missing error={life.error} onRetry={life.refresh} />;
  return <Skeleton lines={4} label="Reading the session" isPage />;
}

function isCalm(session: Session, jobs: Job[]): boolean {
  // A terminal tells its page itself what happens in it.
  return session.status === "ready" && jobs.every((job) => isFinal(job) || (job.type === "terminal" && job.status === "running"));
}

function Missing({ error, onRetry }: { error: Error; onRetry: () => void }) {
  if (!(error instanceof Refused && error.problem.status === 404)) {
    return <Unreadable title="The session can’t be read" error={error} isPage onRetry={onRetry} />;
  }
  return (
    <Empty icon="shell" title="No such session" isPage>
      <p>It is another user’s, or its record was removed: records of ended sessions are kept for some days.</p>
      <a class="button" href={sessionsLink}>
        All sessions
      </a>
    </Empty>
  );
}

function Loaded(props: { life: Life; error: Error | undefined; onChange: () => void }) {
  const { session, events, list } = props.life;
  const hasEndedAlready = hasEnded(session);
  const isStill = hasEndedAlready || isCalm(session, list.jobs);
  const now = useNow(hasEndedAlready ? null : isStill ? 1000 : 100);
  const [tab, setTab] = useState<TabName>("jobs");
  const commands = list.jobs.filter((job) => isCommand(job));
  return (
    <>
      <nav class="crumbs" aria-label="Path">
        <a href={sessionsLink}>Sessions</a>
      </nav>
      <div class="page-head">
        <h1>
          <code title={session.sessionId}>{shortId(session.sessionId)}</code>
        </h1>
        <SessionBadge status={session.status} />
        <Lifetime session={session} now={now} />
        <SessionActions session={session} onChange={props.onChange} />
      </div>
      {props.error && <Failure error={props.error} onRetry={props.onChange} />}
      <Metadata of={session.metadata} />
      <Notes session={session} />
      <RunForm session={session} onSent={(jobId) => goTo(jobLink(jobId))} />
      <TerminalPanel session={session} jobs={list.jobs} />
      <section class="card padded" aria-labelledby="timeline">
        <h2 id="timeline">Timeline</h2>
        <WaterfallView session={session} events={events} jobs={list.jobs} now={now} />
      </section>
      <div class="session-columns">
        <section class="card">
          <div class="tabs" role="tablist" aria-label="Records">
            <Tab name="jobs" label={`Jobs (${commands.length}${list.isCut ? "+" : ""})`} tab={tab} onOpen={setTab} />
            <Tab name="events" label={`Events (${events.length})`} tab={tab} onOpen={setTab} />
          </div>
          <div role="tabpanel" id={`panel-${tab}`} aria-labelledby={`tab-${tab}`}>
            {tab === "jobs" ? <Jobs commands={commands} now={now} /> : <Events events={events} />}
          </div>
        </section>
        <section class="card padded" aria-labelledby="about">
          <h2 id="about">About</h2>
          <About session={session} now={now} />
        </section>
      </div>
    </>
  );
}

type TabName = "jobs" | "events";

function Tab(props: { name: TabName; label: string; tab: TabName; onOpen: (tab: TabName) => void }) {
  const isOpen = props.tab === props.name;
  const other = props.name === "jobs" ? "events" : "jobs";
  return (
    <button
      type="button"
      role="tab"
      id={`tab-${props.name}`}
      aria-selected={isOpen}
      aria-controls={isOpen ? `panel-${props.name}` : undefined}
      tabIndex={isOpen ? 0 : -1}
      onClick={() => props.onOpen(props.name)}
      onKeyDown={(event) => {
        if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
        props.onOpen(other);
        document.getElementById(`tab-${other}`)?.focus();
      }}
    >
      {props.label}
    </button>
  );
}

function Notes({ session }: { session: Session }) {
  if (session.reason === undefined && !session.draining) return null;
  const text = session.reason
    ? `${hasEnded(session) ? "Ended" : "Ends"}: ${session.reason.replaceAll("_", " ")}`
    : "Draining: it takes no more commands, and ends after those that it has.";
  return (
    <p class={`session-note ${session.status === "failed" ? "bad" : ""}`}>
      {text}
      {session.note && ` – ${session.note}`}
    </p>
  );
}

function Jobs({ commands, now }: { commands: Job[]; now: number }) {
  if (commands.length === 0) return <p class="nothing">No commands yet.</p>;
  return (
    <ul class="list" aria-label="Jobs">
      {[...commands].reverse().map((job) => {
        const from = Date.parse(job.startedAt ?? job.createdAt);
        const to = job.finishedAt ? Date.parse(job.finishedAt) : now;
        return (
          <li key={job.jobId} class="job-row">
            <JobBadge job={job} />
            <a href={jobLink(job.jobId)}>
              <code>{jobName(job)}</code>
            </a>
            <span class="muted">{bytes(job.stdout.bytes + job.stderr.bytes)}</span>
            <span class="muted">{duration(to - from)}</span>
            <time class="muted" dateTime={job.createdAt} title={dateTime(job.createdAt)}>
              {clockTime(job.createdAt)}
            </time>
          </li>
        );
      })}
    </ul>
  );
}

function Events({ events }: { events: TimelineEvent[] }) {
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="Events">
      <table class="events">
        <thead>
          <tr>
            <th scope="col">Time</th>
            <th scope="col">After</th>
            <th scope="col">Event</th>
            <th scope="col">Status</th>
            <th scope="col">By</th>
            <th scope="col">Cause</th>
          </tr>
        </thead>
        <tbody>
          {events.map((event) => (
            <tr key={event.eventId}>
              <td>
                <time dateTime={event.at}>{clockTime(event.at)}</time>
              </td>
              <td>+{duration(event.latencyMs)}</td>
              <td>{event.type.replaceAll("_", " ")}</td>
              <td>{event.to}</td>
              <td>{event.actor.replaceAll("_", " ")}</td>
              <td>{event.cause?.replaceAll("_", " ")}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function About({ session, now }: { session: Session; now: number }) {
  const end = session.endedAt ? Date.parse(session.endedAt) : now;
  const toReady = session.readyAt ? Date.parse(session.readyAt) - Date.parse(session.createdAt) : null;
  const { usage } = session;
  return (
    <Facts>
      <Fact name="Id" wide>
        <Copyable text={session.sessionId} />
      </Fact>
      <Fact name="Image">{session.image}</Fact>
      <Fact name="Size">
        {cpu(session.size.cpu)}, {mebibytes(session.size.memoryMiB)}
        {session.spot && ", spot"}
      </Fact>
      <Fact name="Disk">{mebibytes(session.size.diskMiB)}</Fact>
      <Fact name="Network">{session.network}</Fact>
      <Fact name="Lifetime">{seconds(session.ttlSeconds)}</Fact>
      {session.idleTimeoutSeconds !== undefined && (
        <Fact name="Idle timeout">{seconds(session.idleTimeoutSeconds)}</Fact>
      )}
      <Fact name="Created">
        <time dateTime={session.createdAt}>{dateTime(session.createdAt)}</time>
      </Fact>
      {toReady !== null && <Fact name="Ready after">{duration(toReady)}</Fact>}
      <Fact name="Age">{duration(end - Date.parse(session.createdAt))}</Fact>
      {session.endedAt && (
        <Fact name="Ended">
          <time dateTime={session.endedAt}>{dateTime(session.endedAt)}</time>
        </Fact>
      )}
      <Fact name="Shell in use">{duration(usage.taskMs)}</Fact>
      {usage.jobs !== undefined && <Fact name="Commands">{usage.jobs}</Fact>}
      {usage.wallMs !== undefined && <Fact name="Time in commands">{duration(usage.wallMs)}</Fact>}
      {usage.cpuMs !== undefined && <Fact name="CPU time">{duration(usage.cpuMs)}</Fact>}
      {session.costUsd !== undefined && <Fact name="Cost (estimate)">${session.costUsd.toFixed(6)}</Fact>}
      {session.webhook && (
        <Fact name="Webhook" wide>
          {session.webhook.disabled ? "disabled: the endpoint answered 410" : events(session.webhook.events)}{" "}
          (<a href={deliveriesLink(session.sessionId)}>deliveries</a>)
        </Fact>
      )}
    </Facts>
  );
}

function events(types: readonly string[]): string {
  return types.length === 0 ? "all events" : types.join(", ");
}
