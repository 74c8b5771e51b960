// Quantities as people read them.

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** A duration with the precision that matters: `105 ms`, `2.31 s`, `4 m 05 s`, `1 h 12 m`. */
export function duration(ms: number): string {
  const whole = Math.max(0, Math.round(ms));
  if (whole < SECOND) return `${whole} ms`;
  if (whole < 10 * SECOND) return `${(whole / SECOND).toFixed(2)} s`;
  if (whole < MINUTE) return `${(Math.floor(whole / 100) / 10).toFixed(1)} s`;
  const seconds = Math.floor(whole / SECOND);
  if (whole < HOUR) return `${Math.floor(seconds / 60)} m ${pad(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${pad(Math.floor(seconds / 60) % 60)} m`;
}

/** The time that is left: `59:12`, `1:02:03`, `42 s`. */
export function countdown(ms: number): string {
  // The last second counts until it is over.
  const seconds = Math.max(0, Math.ceil(ms / SECOND));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}:${pad(seconds % 60)}`;
  return `${Math.floor(minutes / 60)}:${pad(minutes % 60)}:${pad(seconds % 60)}`;
}

/** How long ago a time is: `just now`, `5 min ago`, `3 days ago`. */
export function ago(ms: number): string {
  if (ms < 10 * SECOND) return "just now";
  if (ms < MINUTE) return `${Math.floor(ms / SECOND)} s ago`;
  if (ms < HOUR) return `${Math.floor(ms / MINUTE)} min ago`;
  if (ms < DAY) return `${Math.floor(ms / HOUR)} h ago`;
  const days = Math.floor(ms / DAY);
  return days === 1 ? "1 day ago" : `${days} days ago`;
}

/** A length of time that a user chose: `90 s`, `15 min`, `8 h`. */
export function seconds(value: number): string {
  if (value >= 3600 && value % 3600 === 0) return `${value / 3600} h`;
  if (value >= 60 && value % 60 === 0) return `${value / 60} min`;
  return `${value} s`;
}

/** A number of bytes: `16 B`, `2.1 MiB`. */
export function bytes(value: number): string {
  if (value < 1024) return `${value} B`;
  const units = ["KiB", "MiB", "GiB", "TiB"];
  let scaled = value / 1024;
  let unit = 0;
  // 1023.95 would be rounded to 1024.0.
  while (scaled >= 1023.95 && unit < units.length - 1) {
    scaled /= 1024;
    unit += 1;
  }
  return `${scaled.toFixed(1)} ${units[unit]}`;
}

/** MiB as memory sizes are written: `512 MiB`, `2 GiB`. */
export function mebibytes(value: number): string {
  return value >= 1024 && value % 512 === 0 ? `${value / 1024} GiB` : `${value} MiB`;
}

/** Units of 1/1024 core: `¼ CPU`, `2 CPUs`. */
export function cpu(units: number): string {
  const fractions: Record<number, string> = { 256: "¼ CPU", 512: "½ CPU", 1024: "1 CPU" };
  return fractions[units] ?? `${units / 1024} CPUs`;
}

/** The time of day with milliseconds, in the user's time zone. */
export function clockTime(iso: string): string {
  const at = new Date(iso);
  const time = [at.getHours(), at.getMinutes(), at.getSeconds()].map(pad).join(":");
  return `${time}.${String(at.getMilliseconds()).padStart(3, "0")}`;
}

/** A date with its time, in the user's time zone. */
export function dateTime(iso: string): string {
  const at = new Date(iso);
  const date = [at.getFullYear(), pad(at.getMonth() + 1), pad(at.getDate())].join("-");
  return `${date} ${[at.getHours(), at.getMinutes(), at.getSeconds()].map(pad).join(":")}`;
}

/** The end of an id, by which people tell ids of one kind apart. */
export function shortId(id: string): string {
  const [prefix, ulid = ""] = id.split("_");
  return `${prefix}_…${ulid.slice(-6)}`;
}

const SIGNALS = [
  "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM",
];

/** The name of a signal on Linux: `SIGKILL`. */
export function signalName(number: number): string {
  const name = SIGNALS[number - 1];
  return name ? `SIG${name}` : `signal ${number}`;
}

function pad(value: number): string {
  return String(value).padStart(2, "0");
}
