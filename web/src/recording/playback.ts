// Plays a recording on a screen.

import { Store } from "../store.js";
import { size, type Recording } from "./asciicast.js";

/** What a recording is played on. */
export interface Stage {
  write: (text: string) => void;
  resize: (cols: number, rows: number) => void;
  /** Clears everything. */
  reset: () => void;
}

export interface PlaybackState {
  isPlaying: boolean;
  /** Seconds. */
  position: number;
  /** The latest marker; empty if there is none yet. */
  marker: string;
}

export const SPEEDS = [0.5, 1, 2, 4, 8] as const;
const TICK_MS = 30;

export class Playback {
  readonly state = new Store<PlaybackState>({ isPlaying: false, position: 0, marker: "" });
  readonly #recording: Recording;
  readonly #stage: Stage;
  readonly #now: () => number;
  #speed = 1;
  /** How many events were shown. */
  #shown = 0;
  #marker = "";
  #timer: ReturnType<typeof setInterval> | undefined;
  #last = 0;

  constructor(recording: Recording, stage: Stage, now: () => number = () => performance.now()) {
    this.#recording = recording;
    this.#stage = stage;
    this.#now = now;
    this.seek(0);
  }

  get speed(): number {
    return this.#speed;
  }

  setSpeed(speed: number): void {
    this.#speed = speed;
  }

  /** Plays; from the beginning if the end was reached. */
  play(): void {
    if (this.state.value.position >= this.#recording.duration) this.seek(0);
    this.#last = this.#now();
    clearInterval(this.#timer);
    this.#timer = setInterval(() => this.tick(), TICK_MS);
    this.#set(this.state.value.position, true);
  }

  pause(): void {
    clearInterval(this.#timer);
    this.#set(this.state.value.position, false);
  }

  toggle(): void {
    if (this.state.value.isPlaying) this.pause();
    else this.play();
  }

  /** Shows the screen of this position; goes on playing if it plays. */
  seek(position: number): void {
    const to = Math.min(Math.max(0, position), this.#recording.duration);
    const first = this.#shown === 0;
    if (first || to < this.state.value.position) {
      this.#stage.reset();
      this.#stage.resize(this.#recording.cols, this.#recording.rows);
      [this.#shown, this.#marker] = [0, ""];
    }
    this.#show(to);
    this.#set(to, this.state.value.isPlaying);
  }

  /** Shows what is due. */
  tick(): void {
    const now = this.#now();
    const position = this.state.value.position + ((now - this.#last) / 1000) * this.#speed;
    this.#last = now;
    if (position < this.#recording.duration) {
      this.#show(position);
      this.#set(position, true);
    } else {
      this.#show(this.#recording.duration);
      clearInterval(this.#timer);
      this.#set(this.#recording.duration, false);
    }
  }

  dispose(): void {
    clearInterval(this.#timer);
  }

  #show(until: number): void {
    const { events } = this.#recording;
    let output = "";
    for (let event = events[this.#shown]; event && event.time <= until; event = events[++this.#shown]) {
      if (event.kind === "output") {
        output += event.text;
        continue;
      }
      if (event.kind === "marker") this.#marker = event.text;
      const to = event.kind === "size" ? size(event.text) : null;
      if (!to) continue;
      this.#stage.write(output);
      output = "";
      this.#stage.resize(to.cols, to.rows);
    }
    if (output !== "") this.#stage.write(output);
  }

  #set(position: number, isPlaying: boolean): void {
    this.state.set({ position, isPlaying, marker: this.#marker });
  }
}
