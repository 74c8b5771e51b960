import { useEffect, useState } from "preact/hooks";
import { get, post, Refused } from "../api/client.js";
import { useQuery } from "../api/query.js";
import { useSubmission } from "../api/submit.js";
import { isCommand, isFinal, takesCommands, type Job, type Session } from "../api/types.js";
import { commandLine, commandOf, jobName, type Command } from "../commands.js";
import { bytes, clockTime, dateTime, duration, shortId } from "../format.js";
import { OutputPanel } from "../output/panel.js";
import { RecordingPanel } from "../recording/player.js";
import { goTo, jobLink, sessionLink, sessionsLink } from "../route.js";
import { execute } from "../session/run-form.js";
import { StartDialog } from "../session/start-dialog.js";
import { useNow } from "../ui/now.js";
import { Button, Copyable, Empty, Fact, Facts, Failure, JobBadge, Skeleton, Unreadable } from "../ui/parts.js";

const WAIT_SECONDS = 20;
const OPENING_MS = 2000;

/** One job: how it stands and its output as it comes. */
export function JobPage({ id }: { id: string }) {
  const query = useQuery(
    id,
    async (signal) => {
      const job = await get("/v1/jobs/{id}", { id }, { signal });
      return { job, session: await get("/v1/sessions/{id}", { id: job.sessionId }, { signal }) };
    },
    () => null,
  );
  if (query.data) {
    return <Loaded key={id} job={query.data.job} session={query.data.session} onStale={query.refresh} />;
  }
  if (query.error) return <Missing error={query.error} onRetry={query.refresh} />;
  return <Skeleton lines={4} label="Reading the job" isPage />;
}

function Missing({ error, onRetry }: { error: Error; onRetry: () => void }) {
  if (!(error instanceof Refused && error.problem.status === 404)) {
    return <Unreadable title="The job can’t be read" error={error} isPage onRetry={onRetry} />;
  }
  return (
    <Empty icon="shell" title="No such job" isPage>
      <p>It is another user’s, or its record was removed.</p>
      <a class="button" href={sessionsLink}>
        All sessions
      </a>
    </Empty>
  );
}

function Loaded(props: { job: Job; session: Session; onStale: () => void }) {
  const [job, setJob] = useState(props.job);
  const isOpen = !isFinal(job);
  // A record that was read before the end may arrive after it.
  useEffect(() => setJob((before) => (isFinal(before) && !isFinal(props.job) ? before : props.job)), [props.job]);
  // The stream says when the command starts and ends; a start or stop job has no stream to follow.
  // What a terminal shows is sent to its clients, and is stored when it ends.
  const isTerminal = job.type === "terminal" && isOpen;
  const hasOutput = isCommand(job) && !isTerminal;
  useEndOf(hasOutput ? null : job, setJob);
  const now = useNow(isOpen ? 100 : null);
  const command = commandOf(job.jobId);
  const status = (next: Job["status"]) => {
    if (next !== job.status && next === "running") props.onStale();
  };
  const ended = (last: Job) => {
    setJob(last);
    // The event of the end leaves the background processes out, and the end may have been the session's.
    props.onStale();
  };
  return (
    <>
      <nav class="crumbs" aria-label="Path">
        <a href={sessionsLink}>Sessions</a>
        <span aria-hidden="true">/</span>
        <a href={sessionLink(job.sessionId)}>
          <code>{shortId(job.sessionId)}</code>
        </a>
      </nav>
      <div class="page-head">
        <h1 class="command-title">
          <code title={job.jobId}>{jobName(job)}</code>
        </h1>
        <JobBadge job={job} />
        <JobActions job={job} session={props.session} command={command} onChange={props.onStale} />
      </div>
      {job.error && (
        <p class="session-note bad">
          {job.error.message} <code>{job.error.code}</code>
        </p>
      )}
      {job.waitsFor && (
        <p class="session-note">
          Queued behind{" "}
          <a href={jobLink(job.waitsFor)}>
            <code>{shortId(job.waitsFor)}</code>
          </a>
          : commands of a session run in order, unless they are parallel.
        </p>
      )}
      <JobFacts job={job} now={now} command={command} />
      {isTerminal && (
        <p class="card padded">
          This terminal is shown on <a href={sessionLink(job.sessionId)}>the page of its session</a>. What it has
          shown last is kept here once it has ended.
        </p>
      )}
      {job.recording && <RecordingPanel jobId={job.jobId} size={job.recording.bytes} />}
      {hasOutput && <OutputPanel jobId={job.jobId} job={job} onStatus={status} onEnd={ended} />}
      {job.backgroundProcesses && <Background job={job} processes={job.backgroundProcesses} />}
    </>
  );
}

/** Waits for the end of a job without output. */
function useEndOf(job: Job | null, onEnd: (job: Job) => void): void {
  const id = job && !isFinal(job) ? job.jobId : null;
  const query = useQuery(
    id ?? "",
    async (signal) => {
      if (id === null) return null;
      return get("/v1/jobs/{id}", { id, query: { waitSeconds: WAIT_SECONDS } }, { signal });
    },
    // The wait is short while a client may open the job's terminal.
    (found) => (found === null || isFinal(found) ? null : found.terminal ? OPENING_MS : 0),
  );
  useEffect(() => {
    if (query.data) onEnd(query.data);
  }, [query.data]);
}

function JobFacts({ job, now, command }: { job: Job; now: number; command: Command | undefined }) {
  const created = Date.parse(job.createdAt);
  const started = job.startedAt ? Date.parse(job.startedAt) : null;
  const finished = job.finishedAt ? Date.parse(job.finishedAt) : null;
  const { usage } = job;
  return (
    <div class="card padded">
      <Facts>
        <Fact name="Job" wide>
          <Copyable text={job.jobId} />
        </Fact>
        {job.type !== "execute" && <Fact name="Type">{job.type}</Fact>}
        <Fact name="Accepted">
          <time dateTime={job.createdAt} title={dateTime(job.createdAt)}>
            {clockTime(job.createdAt)}
          </time>
        </Fact>
        <Fact name="Waited">{duration((started ?? finished ?? now) - created)}</Fact>
        {started !== null && <Fact name="Ran">{duration((finished ?? now) - started)}</Fact>}
        {usage && <Fact name="CPU time">{duration(usage.cpuMs)}</Fact>}
        {usage && <Fact name="Peak memory">{bytes(usage.memoryPeakBytes ?? usage.maxRssBytes)}</Fact>}
        {usage?.oomKills ? <Fact name="Killed for memory">{processes(usage.oomKills)}</Fact> : null}
        {usage?.leftoverProcesses && !job.backgroundProcesses ? (
          <Fact name="Killed at its end">{processes(usage.leftoverProcesses)}</Fact>
        ) : null}
        {job.shell && <Fact name="Shared shell">{sharedShell(job.shell)}</Fact>}
        {command?.user && <Fact name="User">{command.user}</Fact>}
        {command?.cwd && <Fact name="Directory">{command.cwd}</Fact>}
        {job.attempt > 1 && <Fact name="Attempt">{job.attempt}</Fact>}
      </Facts>
    </div>
  );
}

/** The shell that ran the command, and whether commands before or after this one have another of its name. */
function sharedShell({ name, isNew, hasEnded }: NonNullable<Job["shell"]>): string {
  const remarks = [isNew && "new", hasEnded && "has ended"].filter((remark) => remark);
  return remarks.length > 0 ? `${name} (${remarks.join(", ")})` : name;
}

function processes(count: number): string {
  return count === 1 ? "1 process" : `${count} processes`;
}

/** The processes that the command left running. */
function Background(props: { job: Job; processes: NonNullable<Job["backgroundProcesses"]> }) {
  const count = props.job.usage?.leftoverProcesses ?? props.processes.length;
  const more = count - props.processes.length;
  return (
    <section class="card padded" aria-labelledby="background">
      <h2 id="background">Left running in the background</h2>
      <ul class="processes">
        {props.processes.map(({ pid, command }) => (
          <li key={pid}>
            <span class="muted">{pid}</span> <code>{command}</code>
          </li>
        ))}
      </ul>
      {more > 0 && <p class="hint">and {processes(more)} more</p>}
      <p class="hint">They end with the session.</p>
    </section>
  );
}

const SIGNALS = ["INT", "TERM", "HUP", "QUIT", "USR1", "USR2", "STOP", "CONT", "KILL"];

function JobActions(props: { job: Job; session: Session; command: Command | undefined; onChange: () => void }) {
  const { job, session, command } = props;
  const [isStarting, setStarting] = useState(false);
  const [signal, setSignal] = useState("INT");
  const cancel = useSubmission(async (id: string, idempotencyKey) => {
    await post("/v1/jobs/{id}/cancel", { id }, { idempotencyKey });
  });
  const sendSignal = useSubmission(async (name: string, idempotencyKey) => {
    await post("/v1/jobs/{id}/signal", { id: job.jobId, body: { signal: name } }, { idempotencyKey });
  });
  const again = useSubmission(async (request: Command, key) => {
    goTo(jobLink(await execute(session.sessionId, request, key)));
  });
  if (!isCommand(job)) return null;
  const error = [cancel.error, sendSignal.error, again.error].find((each) => each !== null);
  const runAgain = () => {
    if (!command) return;
    if (takesCommands(session)) void again.send(command);
    else setStarting(true);
  };
  return (
    <span class="actions">
      {job.status === "running" && (
        <span class="joined">
          <select aria-label="Signal" value={signal} onChange={(event) => setSignal(event.currentTarget.value)}>
            {SIGNALS.map((name) => (
              <option key={name} value={name}>
                SIG{name}
              </option>
            ))}
          </select>
          <Button icon="signal" label="Send" disabled={sendSignal.isSending} onClick={() => void sendSignal.send(signal)} />
        </span>
      )}
      {!isFinal(job) && (
        <Button icon="stop" label="Cancel" kind="danger" disabled={cancel.isSending} onClick={() => void cancel.send(job.jobId)} />
      )}
      {isFinal(job) && command && (
        <Button icon="again" label="Run again" disabled={again.isSending} onClick={runAgain} />
      )}
      {error && <Failure error={error} />}
      {isStarting && command && (
        <StartDialog
          initial={{ isOneShot: true, command: commandLine(command) }}
          onClose={() => setStarting(false)}
          onStarted={(accepted) => {
            setStarting(false);
            goTo(jobLink(accepted.commandJobId ?? accepted.jobId));
          }}
        />
      )}
    </span>
  );
}
