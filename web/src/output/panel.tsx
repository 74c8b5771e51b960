import type { Ref } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { follow } from "../api/follow.js";
import type { Job } from "../api/types.js";
import { bytes } from "../format.js";
import { save } from "../save.js";
import { Icon } from "../ui/icon.js";
import { Button, Failure, Segmented } from "../ui/parts.js";
import { MAX_MATCHES } from "./search.js";
import { OutputView, type Shown, type ViewState } from "./view.js";

const SHOWN = [
  { value: "both", label: "Merged" },
  { value: "stdout", label: "stdout" },
  { value: "stderr", label: "stderr" },
] as const;

interface Props {
  jobId: string;
  /** The latest record of the job. */
  job: Job;
  onStatus: (status: Job["status"]) => void;
  onEnd: (job: Job) => void;
}

/** A job's output as it comes. */
export function OutputPanel(props: Props) {
  const { jobId, job } = props;
  const container = useRef<HTMLDivElement>(null);
  const view = useRef<OutputView | null>(null);
  const [state, setState] = useState<ViewState>({ isFollowing: true, matches: 0, current: 0 });
  const [shown, setShown] = useState<Shown>("both");
  const [isWrapped, setWrapped] = useState(true);
  const [isComplete, setComplete] = useState(false);
  const [received, setReceived] = useState(0);
  const [error, setError] = useState<Error | null>(null);
  const latest = useRef(props);
  latest.current = props;

  useEffect(() => {
    const element = container.current;
    if (!element) return;
    const output = new OutputView(element, setState);
    view.current = output;
    const controller = new AbortController();
    let total = 0;
    const following = follow(
      jobId,
      (event) => {
        if (event.kind === "status") latest.current.onStatus(event.status);
        else if (event.kind === "output") {
          if (event.isMerged) output.merge();
          output.push(event.stream, event.bytes);
          total += event.bytes.length;
          setReceived(total);
        } else if (event.kind === "gap") {
          output.gap(event.stream, event.missing);
        } else {
          output.end();
          setComplete(true);
          latest.current.onEnd(event.job);
        }
      },
      controller.signal,
    );
    following.catch((reason: unknown) => {
      if (!controller.signal.aborted) setError(reason as Error);
    });
    return () => {
      controller.abort();
      output.dispose();
      view.current = null;
    };
  }, [jobId]);

  const download = () => save(view.current?.bytes(shown) ?? [], `${jobId}${shown === "both" ? "" : `.${shown}`}.txt`);
  return (
    <section class="card output-panel" aria-label="Output">
      <div class="toolbar">
        <Segmented
          label="Streams"
          value={shown}
          options={SHOWN}
          onChange={(value) => {
            setShown(value);
            view.current?.show(value);
          }}
        />
        <Search view={view} state={state} />
        <span class="toolbar-end">
          <Button
            label="Follow"
            pressed={state.isFollowing}
            onClick={() => view.current?.setFollowing(!state.isFollowing)}
          />
          <Button label="Wrap" pressed={isWrapped} onClick={() => setWrapped(!isWrapped)} />
          <Button icon="download" label="Download" disabled={received === 0} onClick={download} />
        </span>
      </div>
      {error && <Failure error={error} />}
      <Truncation job={job} />
      <Screen element={container} isWrapped={isWrapped} />
      <Status job={job} received={received} isComplete={isComplete} />
    </section>
  );
}

/** The view draws into this element, so it is never given other children. */
function Screen({ element, isWrapped }: { element: Ref<HTMLDivElement>; isWrapped: boolean }) {
  return (
    <div
      ref={element}
      class={`output ${isWrapped ? "wrapped" : ""}`}
      tabIndex={0}
      role="region"
      aria-label="Text of the output"
    />
  );
}

function Search({ view, state }: { view: { current: OutputView | null }; state: ViewState }) {
  const [text, setText] = useState("");
  const count = state.matches === MAX_MATCHES ? `${MAX_MATCHES}+` : String(state.matches);
  return (
    <search class="search">
      <Icon name="search" />
      <input
        type="search"
        aria-label="Search in the output"
        placeholder="Search"
        value={text}
        onInput={(event) => {
          setText(event.currentTarget.value);
          view.current?.search(event.currentTarget.value);
        }}
        onKeyDown={(event) => {
          if (event.key === "Enter") view.current?.step(event.shiftKey ? -1 : 1);
        }}
      />
      {text !== "" && (
        <>
          <span class="matches" role="status">
            {state.matches === 0 ? "none" : `${state.current}/${count}`}
          </span>
          <Button icon="up" label="Previous match" kind="quiet" compact onClick={() => view.current?.step(-1)} />
          <Button icon="down" label="Next match" kind="quiet" compact onClick={() => view.current?.step(1)} />
        </>
      )}
    </search>
  );
}

function Truncation({ job }: { job: Job }) {
  const cut = (["stdout", "stderr"] as const).filter((name) => job[name].truncated);
  if (cut.length === 0) return null;
  return (
    <p class="truncation" role="status">
      <Icon name="alert" />
      {cut
        .map((name) => `${name} was cut: ${bytes(job[name].keptBytes)} of ${bytes(job[name].bytes)} ${whichPart(job[name])}.`)
        .join(" ")}
    </p>
  );
}

/** Which part of a stream that was cut is kept. */
function whichPart({ gap }: Job["stdout"]): string {
  if (gap === undefined) return "is kept, its beginning";
  if (gap.from === 0) return "is kept, its end";
  return "is kept, its beginning and its end";
}

function Status({ job, received, isComplete }: { job: Job; received: number; isComplete: boolean }) {
  const isWhole = !job.stdout.truncated && !job.stderr.truncated;
  const written = job.stdout.bytes + job.stderr.bytes;
  let text = `${bytes(received)} received`;
  if (isComplete && received === 0) text = "The command wrote nothing.";
  else if (isComplete) text = isWhole ? `${bytes(received)}, complete` : `${bytes(received)} of ${bytes(written)} kept`;
  else if (received === 0) text = job.status === "queued" ? "Waiting for the command to start" : "Waiting for output";
  return (
    <p class={`output-status ${isComplete ? "" : "live"}`} role="status">
      {text}
    </p>
  );
}
