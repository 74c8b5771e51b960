import { useEffect, useRef, useState } from "preact/hooks";
import { getRecording } from "../api/client.js";
import { useQuery } from "../api/query.js";
import { bytes } from "../format.js";
import { save } from "../save.js";
import { useStore } from "../store.js";
import { Button, Failure, Skeleton } from "../ui/parts.js";
import { parse, type Recording } from "./asciicast.js";
import { Playback, SPEEDS } from "./playback.js";

/** What the arrow keys move the slider by. Seconds. */
const STEP = 0.1;

/** What a terminal has shown, played when the user wants to. */
export function RecordingPanel({ jobId, size }: { jobId: string; size: number }) {
  const [isOpen, setOpen] = useState(false);
  return (
    <section class="card recording" aria-labelledby="recording">
      <div class="toolbar">
        <h2 id="recording">Recording</h2>
        <span class="muted">{bytes(size)}</span>
        {!isOpen && (
          <span class="toolbar-end">
            <Button icon="play" label="Open recording" disabled={size === 0} onClick={() => setOpen(true)} />
          </span>
        )}
      </div>
      {isOpen && <Opened jobId={jobId} />}
    </section>
  );
}

function Opened({ jobId }: { jobId: string }) {
  const query = useQuery(jobId, (signal) => getRecording(jobId, signal), () => null);
  if (query.error) return <Failure error={query.error} onRetry={query.refresh} />;
  if (query.data === undefined || query.data === null) return <Skeleton lines={6} label="Reading the recording" />;
  const recording = parse(query.data);
  if (recording === null) return <Failure error={new Error("The recording can’t be read.")} />;
  const text = query.data;
  const download = () => save([new TextEncoder().encode(text)], `${jobId}.cast`);
  return <Loaded recording={recording} onDownload={download} onReload={query.refresh} />;
}

function Loaded(props: { recording: Recording; onDownload: () => void; onReload: () => void }) {
  const { recording } = props;
  const container = useRef<HTMLDivElement>(null);
  const [playback, setPlayback] = useState<Playback | null>(null);
  const [loadError, setLoadError] = useState<Error | null>(null);
  useEffect(() => {
    let release: (() => void) | null = null;
    let isGone = false;
    import("./screen.js").then(
      ({ RecordingScreen }) => {
        if (isGone || !container.current) return;
        const screen = new RecordingScreen(container.current, "Screen of the recording");
        const opened = new Playback(recording, screen);
        release = () => {
          opened.dispose();
          screen.dispose();
        };
        setPlayback(opened);
        opened.play();
      },
      () => {
        if (!isGone) setLoadError(new Error("The part of this page that draws terminals can’t be loaded."));
      },
    );
    return () => {
      isGone = true;
      release?.();
    };
  }, [recording.duration, recording.events.length]);
  return (
    <>
      <div class="recording-screen" tabIndex={0} role="region" aria-label="Recorded terminal">
        <Frame element={container} />
      </div>
      {loadError && <Failure error={loadError} onRetry={props.onReload} />}
      {playback && <Controls playback={playback} duration={recording.duration} onDownload={props.onDownload} />}
    </>
  );
}

function Controls(props: { playback: Playback; duration: number; onDownload: () => void }) {
  const { playback, duration } = props;
  const { isPlaying, position, marker } = useStore(playback.state);
  const [speed, setSpeed] = useState(playback.speed);
  const max = Math.ceil(duration / STEP) * STEP;
  const play = useRef<HTMLSpanElement>(null);
  // The button that opened the recording is gone, and this one takes its place.
  useEffect(() => play.current?.querySelector("button")?.focus({ preventScroll: true }), [playback]);
  return (
    <div class="recording-controls">
      <span ref={play}>
        <Button
          icon={isPlaying ? "pause" : "play"}
          label={isPlaying ? "Pause" : "Play"}
          kind="primary"
          onClick={() => playback.toggle()}
        />
      </span>
      <input
        type="range"
        aria-label="Position"
        aria-valuetext={`${clock(position)} of ${clock(duration)}`}
        min={0}
        max={max}
        step={STEP}
        value={position < duration ? position : max}
        onInput={(event) => playback.seek(Number(event.currentTarget.value))}
      />
      <span class="recording-time">
        {clock(position)} / {clock(duration)}
      </span>
      <select
        aria-label="Speed"
        value={String(speed)}
        onChange={(event) => {
          const next = Number(event.currentTarget.value);
          playback.setSpeed(next);
          setSpeed(next);
        }}
      >
        {SPEEDS.map((each) => (
          <option key={each} value={String(each)}>
            {each}×
          </option>
        ))}
      </select>
      <Button icon="download" label="Download" onClick={props.onDownload} />
      {marker && (
        <p class="hint" role="status">
          {marker}
        </p>
      )}
    </div>
  );
}

/** Minutes and seconds. */
function clock(value: number): string {
  const whole = Math.floor(value);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

/** xterm.js draws into this element, so it is never given other children. */
function Frame({ element }: { element: { current: HTMLDivElement | null } }) {
  return <div ref={element} class="terminal-frame" />;
}
