import { useEffect, useRef, useState } from "preact/hooks";
import type { Session } from "../api/types.js";
import { useStore } from "../store.js";
import { Failure } from "../ui/parts.js";
import type { TerminalClient } from "./client.js";
import type { XtermScreen } from "./screen.js";
import { TerminalStatus } from "./status.js";

interface Props {
  client: TerminalClient;
  name: string;
  session: Session;
  isShown: boolean;
  /** Whether the terminal takes the focus when it is shown first. */
  takesFocus: boolean;
  onLeave: () => void;
  onOpenAnother: (() => void) | null;
}

/** One terminal and the line that tells its state. */
export function TerminalView(props: Props) {
  const { client, isShown } = props;
  const state = useStore(client.state);
  const container = useRef<HTMLDivElement>(null);
  const screen = useRef<XtermScreen | null>(null);
  const [wasShown, setWasShown] = useState(isShown);
  const [loadError, setLoadError] = useState<Error | null>(null);
  const [attempt, setAttempt] = useState(0);
  const latest = useRef(props);
  latest.current = props;

  // A terminal has no size before it is shown, so that it is opened then.
  useEffect(() => {
    if (isShown) setWasShown(true);
  }, [isShown]);

  useEffect(() => {
    const element = container.current;
    if (!wasShown || !element) return;
    let isGone = false;
    setLoadError(null);
    import("./screen.js").then(
      ({ XtermScreen }) => {
        if (isGone) return;
        const opened = new XtermScreen(element, latest.current.name, {
          onType: (bytes) => client.type(bytes),
          onResize: (size) => client.resize(size),
          onLeave: () => latest.current.onLeave(),
        });
        screen.current = opened;
        client.start(opened, opened.size);
        if (latest.current.takesFocus && latest.current.isShown) opened.focus();
      },
      () => {
        if (!isGone) setLoadError(new Error("The part of this page that draws terminals can’t be loaded."));
      },
    );
    return () => {
      isGone = true;
      screen.current?.dispose();
      screen.current = null;
    };
  }, [client, wasShown, attempt]);

  const isConnected = state.kind === "connected";
  useEffect(() => screen.current?.setTyping(isConnected), [isConnected]);
  return (
    <>
      <div class={`terminal-screen ${isConnected ? "" : "still"}`}>
        <Frame element={container} />
        {state.kind === "connecting" && !state.hasRun && loadError === null && <span class="terminal-wait" aria-hidden="true" />}
      </div>
      {loadError ? (
        <Failure error={loadError} onRetry={() => setAttempt(attempt + 1)} />
      ) : (
        <TerminalStatus
          state={state}
          session={props.session}
          onOpen={() => {
            client.open();
            screen.current?.focus();
          }}
          onOpenAnother={props.onOpenAnother}
        />
      )}
    </>
  );
}

/** xterm.js draws into this element, so it is never given other children. */
function Frame({ element }: { element: { current: HTMLDivElement | null } }) {
  return <div ref={element} class="terminal-frame" />;
}
