const PATHS = {
  plus: "M8 3v10M3 8h10",
  stop: "M4.5 4.5h7v7h-7z",
  clock: "M8 4.5V8l2.5 1.5M14 8A6 6 0 1 1 2 8a6 6 0 0 1 12 0Z",
  search: "M10.5 10.5 14 14M12 7A5 5 0 1 1 2 7a5 5 0 0 1 10 0Z",
  up: "M4 10l4-4 4 4",
  down: "M4 6l4 4 4-4",
  right: "M6 4l4 4-4 4",
  left: "M10 4 6 8l4 4",
  download: "M8 2.5v8M4.5 7.5 8 11l3.5-3.5M3 13.5h10",
  again: "M13 8A5 5 0 1 1 11.2 4.2M13 2.5v3h-3",
  close: "M4 4l8 8M12 4l-8 8",
  check: "M3.5 8.5l3 3 6-7",
  copy: "M6 6h7v7H6zM10 3H3v7",
  theme: "M8 2a6 6 0 1 0 0 12zM8 2a6 6 0 0 1 0 12",
  sun: "M8 5a3 3 0 1 1 0 6 3 3 0 0 1 0-6ZM8 1.5V2M8 14v.5M1.5 8H2M14 8h.5M3.4 3.4l.4.4M12.2 12.2l.4.4M3.4 12.6l.4-.4M12.2 3.8l.4-.4",
  moon: "M13.5 9.5A6 6 0 0 1 6.5 2.5a6 6 0 1 0 7 7Z",
  leave: "M9.5 11.5v2h-7v-11h7v2M6 8h8M11.5 5.5 14 8l-2.5 2.5",
  play: "M5 3l8 5-8 5z",
  pause: "M5 3h2v10H5zM9.5 3h2v10h-2z",
  record: "M8 2a6 6 0 1 1 0 12A6 6 0 0 1 8 2ZM8 5.5a2.5 2.5 0 1 1 0 5 2.5 2.5 0 0 1 0-5Z",
  signal: "M8.5 1.5 3.5 9H8l-.5 5.5 5-7.5H8z",
  shell: "M2.5 3h11v10h-11zM5 6l2 2-2 2M8.5 10h2.5",
  hook: "M5 11a2.5 2.5 0 1 0 2.2 3.6L8.5 12h3M11 11a2.2 2.2 0 1 1-1.5 3.8M6 10l2-3.7A2.5 2.5 0 1 1 10.4 4",
  alert: "M8 5.5v3.2M8 11v.1M8 2 14.5 13.5h-13z",
} as const;

export type IconName = keyof typeof PATHS;

/** A picture beside a text, which says what it means. */
export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}
