import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { post } from "../api/client.js";
import { useSubmission } from "../api/submit.js";
import { isFinal, takesCommands, type Job, type Session } from "../api/types.js";
import { clockTime, dateTime, shortId } from "../format.js";
import { useStore } from "../store.js";
import { Icon } from "../ui/icon.js";
import { Button, Failure, type Tone } from "../ui/parts.js";
import type { TerminalState } from "./client.js";
import { canDigest } from "../../../sdk/typescript/src/frame.js";
import { screenReader } from "./screen-reader.js";
import { TerminalTabs, type TerminalTab } from "./tabs.js";
import { TerminalView } from "./view.js";

const TONES: Record<TerminalState["kind"], Tone> = {
  connecting: "busy",
  connected: "good",
  lost: "bad",
  detached: "idle",
  refused: "warn",
  ended: "idle",
  failed: "bad",
};

/** The terminals of a session side by side, and those that run without this page. */
export function TerminalPanel({ session, jobs }: { session: Session; jobs: Job[] }) {
  const id = session.sessionId;
  const tabs = useMemo(() => new TerminalTabs(id), [id]);
  useEffect(() => () => tabs.dispose(), [tabs]);
  const all = useStore(tabs.all);
  const shown = useStore(tabs.shown);
  // A terminal that the user has opened takes the focus; after a reload, none does.
  const takesFocus = useRef(false);
  const canOpen = takesCommands(session);
  const [isRecorded, setRecorded] = useState(false);
  const others = running(jobs, all);
  if (all.length === 0 && !canOpen && others.length === 0) return null;
  const open = (jobId: string | null) => {
    takesFocus.current = true;
    tabs.open(jobId, isRecorded);
  };
  const current = all.find((tab) => tab.number === shown);
  const isPossible = canDigest();
  return (
    <section class="card terminals" aria-labelledby="terminals">
      <div class="terminal-bar">
        <h2 id="terminals" class={all.length > 0 ? "visually-hidden" : ""}>
          <Icon name="shell" /> Terminals
        </h2>
        {all.length > 0 && <TabList tabs={tabs} all={all} shown={shown} />}
        {all.length > 0 && canOpen && isPossible && (
          <Button icon="plus" label="Open terminal" kind="quiet" compact onClick={() => open(null)} />
        )}
        {all.length > 0 && <ScreenReaderButton />}
        <span class="toolbar-end">
          {canOpen && isPossible && (
            <Button
              icon="record"
              label="Record new terminals"
              kind="quiet"
              compact
              pressed={isRecorded}
              onClick={() => setRecorded(!isRecorded)}
            />
          )}
          {all.length === 0 && canOpen && isPossible && (
            <Button icon="shell" label="Open terminal" onClick={() => open(null)} />
          )}
          {current && <TabActions key={current.number} tab={current} onClose={() => tabs.close(current.number)} />}
        </span>
      </div>
      {!isPossible && <NeedsHttps />}
      {isPossible &&
        all.map((tab) => (
          <div
            key={tab.number}
            role="tabpanel"
            id={`terminal-${tab.number}`}
            aria-labelledby={`terminal-tab-${tab.number}`}
            hidden={tab.number !== shown}
          >
            <TerminalView
              client={tab.client}
              name={`Terminal ${tab.number}`}
              session={session}
              isShown={tab.number === shown}
              takesFocus={takesFocus.current}
              onLeave={() => document.getElementById(`terminal-tab-${tab.number}`)?.focus()}
              onOpenAnother={canOpen ? () => open(null) : null}
            />
          </div>
        ))}
      {isPossible && others.map((job) => <Other key={job.jobId} job={job} onAttach={() => open(job.jobId)} />)}
    </section>
  );
}

/** The terminals that run and have no tab. */
function running(jobs: Job[], all: readonly TerminalTab[]): Job[] {
  const own = new Set(all.map((tab) => tab.client.jobId.value));
  // The job of a tab whose request is under way is in the list before the tab knows its id.
  if (own.has(null)) return [];
  return jobs.filter((job) => job.type === "terminal" && !isFinal(job) && !own.has(job.jobId));
}

function TabList({ tabs, all, shown }: { tabs: TerminalTabs; all: readonly TerminalTab[]; shown: number }) {
  const move = (number: number | undefined) => {
    if (number === undefined) return;
    tabs.shown.set(number);
    document.getElementById(`terminal-tab-${number}`)?.focus();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const at = all.findIndex((tab) => tab.number === shown);
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step !== undefined) move(all[(at + step + all.length) % all.length]?.number);
  };
  return (
    <div class="tabs" role="tablist" aria-label="Terminals" onKeyDown={onKeyDown}>
      {all.map((tab) => (
        <TabButton key={tab.number} tab={tab} isShown={tab.number === shown} onShow={() => tabs.shown.set(tab.number)} />
      ))}
    </div>
  );
}

function TabButton({ tab, isShown, onShow }: { tab: TerminalTab; isShown: boolean; onShow: () => void }) {
  const state = useStore(tab.client.state);
  return (
    <button
      type="button"
      role="tab"
      id={`terminal-tab-${tab.number}`}
      class={`dotted ${TONES[state.kind]}`}
      aria-selected={isShown}
      aria-controls={`terminal-${tab.number}`}
      tabIndex={isShown ? 0 : -1}
      onClick={onShow}
    >
      Terminal {tab.number}
    </button>
  );
}

/** What can be done with the terminal that is shown. */
function TabActions({ tab, onClose }: { tab: TerminalTab; onClose: () => void }) {
  const state = useStore(tab.client.state);
  const jobId = useStore(tab.client.jobId);
  const end = useSubmission(() => tab.client.end());
  const isOpen = state.kind !== "ended" && state.kind !== "failed";
  return (
    <>
      {end.error && <Failure error={end.error} />}
      {isOpen && state.kind !== "detached" && state.kind !== "refused" && (
        <Button icon="leave" label="Detach" kind="quiet" onClick={() => tab.client.detach()} />
      )}
      {isOpen && jobId !== null && (
        <Button icon="stop" label="End" kind="quiet" disabled={end.isSending} onClick={() => void end.send(undefined)} />
      )}
      <Button icon="close" label="Close tab" kind="quiet" compact onClick={onClose} />
    </>
  );
}

/** A terminal that runs without this page. */
function Other({ job, onAttach }: { job: Job; onAttach: () => void }) {
  const end = useSubmission(async (id: string, idempotencyKey) => {
    await post("/v1/jobs/{id}/cancel", { id }, { idempotencyKey });
  });
  return (
    <div class="terminal-other">
      <p class="dotted idle">
        Another terminal runs, since{" "}
        <time dateTime={job.createdAt} title={dateTime(job.createdAt)}>
          {clockTime(job.createdAt).replace(/\.\d+$/, "")}
        </time>{" "}
        <code title={job.jobId}>{shortId(job.jobId)}</code>
      </p>
      {end.error && <Failure error={end.error} />}
      <Button icon="shell" label="Attach" onClick={onAttach} />
      <Button icon="stop" label="End" kind="quiet" disabled={end.isSending} onClick={() => void end.send(job.jobId)} />
    </div>
  );
}

/** Seen only while it has the focus, like the link that skips to the content. */
function ScreenReaderButton() {
  const isOn = useStore(screenReader);
  return (
    <span class="terminal-reader">
      <Button label="Screen reader support" pressed={isOn} onClick={() => screenReader.set(!isOn)} />
    </span>
  );
}

function NeedsHttps() {
  return (
    <p class="terminal-note">
      Terminals need https: over plain http from another computer, the browser does not compute the digests of
      their messages. Open this page by https or through a tunnel to <code>127.0.0.1</code>, or use{" "}
      <code>ephemeral attach</code>.
    </p>
  );
}
