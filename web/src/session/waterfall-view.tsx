import type { Job, Session, TimelineEvent } from "../api/types.js";
import { jobName } from "../commands.js";
import { clockTime, duration } from "../format.js";
import { jobLink } from "../route.js";
import { outcome } from "../ui/parts.js";
import { waterfall, type Axis, type JobBar, type PhaseBar } from "./waterfall.js";

/** How many labels the axis has at most. */
const TICKS = 6;
/** More jobs are left to the list below. */
const MAX_JOBS = 60;

/** The phases and jobs of a session as bars over its life. */
export function WaterfallView(props: { session: Session; events: TimelineEvent[]; jobs: Job[]; now: number }) {
  const model = waterfall(props.session, props.events, props.jobs, props.now);
  const hidden = model.jobs.length - MAX_JOBS;
  return (
    <div class="waterfall">
      <div class="waterfall-axis" aria-hidden="true">
        <Ticks axis={model.axis} />
      </div>
      <ol aria-label="Phases and jobs">
        {model.phases.map((bar) => (
          <PhaseRow key={`${bar.phase}-${bar.from}`} bar={bar} axis={model.axis} />
        ))}
        {model.jobs.slice(-MAX_JOBS).map((bar) => (
          <JobRow key={bar.job.jobId} bar={bar} axis={model.axis} />
        ))}
      </ol>
      {hidden > 0 && <p class="hint">{hidden} earlier jobs are in the list below.</p>}
    </div>
  );
}

function Ticks({ axis }: { axis: Axis }) {
  return (
    <div class="track">
      {axis.ticks(TICKS).map(({ ms, position }) => (
        <span key={ms} class="tick" style={{ left: percent(position) }}>
          {ms === 0 ? "0" : duration(ms).replace(/\.00 s|\.0 s/, " s")}
        </span>
      ))}
    </div>
  );
}

function Breaks({ axis }: { axis: Axis }) {
  return (
    <>
      {axis.breaks.map(({ from, to, left, width }) => (
        <span
          key={from}
          class="break"
          title={`${duration(to - from)} without an event`}
          style={{ left: percent(left), width: percent(width) }}
        />
      ))}
    </>
  );
}

function PhaseRow({ bar, axis }: { bar: PhaseBar; axis: Axis }) {
  return (
    <li>
      <span class="row-label">{bar.phase}</span>
      <span class="track" aria-hidden="true">
        <Bar className={`phase ${bar.phase}`} from={bar.from} to={bar.to} isOpen={bar.isOpen} axis={axis} />
        <Breaks axis={axis} />
      </span>
      <span class="row-time" title={`from ${clockTime(new Date(bar.from).toISOString())}`}>
        {duration(bar.to - bar.from)}
      </span>
    </li>
  );
}

function JobRow({ bar, axis }: { bar: JobBar; axis: Axis }) {
  const { job } = bar;
  const { tone, text } = outcome(job);
  const waited = bar.started - bar.from;
  const ran = job.startedAt ? bar.to - bar.started : 0;
  return (
    <li>
      <a class="row-label job" href={jobLink(job.jobId)}>
        {jobName(job)}
      </a>
      <span class="track" aria-hidden="true">
        {waited > 0 && <Bar className="wait" from={bar.from} to={bar.started} isOpen={!job.startedAt && bar.isOpen} axis={axis} />}
        {job.startedAt && <Bar className={`run ${tone}`} from={bar.started} to={bar.to} isOpen={bar.isOpen} axis={axis} />}
        <Breaks axis={axis} />
      </span>
      <span class="row-time" title={`waited ${duration(waited)}, ran ${duration(ran)}: ${text}`}>
        {job.startedAt ? duration(ran) : text}
      </span>
    </li>
  );
}

function Bar(props: { className: string; from: number; to: number; isOpen: boolean; axis: Axis }) {
  const left = props.axis.position(props.from);
  const width = Math.max(0, props.axis.position(props.to) - left);
  return (
    <span
      class={`bar ${props.className} ${props.isOpen ? "open" : ""}`}
      style={{ left: percent(left), width: percent(width) }}
    />
  );
}

function percent(part: number): string {
  return `${(part * 100).toFixed(3)}%`;
}
