// Draws lines of output. Lines of one look become one text node, so that long output stays light.

import type { Block, Line, Segment } from "./lines.js";
import { cssColor, plain, type Color } from "./style.js";

/** Draws a block's lines into its element. */
export function draw(element: HTMLElement, block: Block): void {
  const nodes: Node[] = [];
  let run = "";
  const flush = () => {
    if (run !== "") nodes.push(document.createTextNode(run));
    run = "";
  };
  for (const line of block.lines) {
    if (line.stream === "stdout" && isPlain(line)) {
      run += `${line.segments[0]?.text ?? ""}\n`;
    } else {
      flush();
      nodes.push(lineElement(line));
    }
  }
  flush();
  element.replaceChildren(...nodes);
}

function isPlain(line: Line): boolean {
  return line.segments.every((segment) => segment.style === plain);
}

function lineElement(line: Line): HTMLElement {
  const element = document.createElement("span");
  element.className = line.stream;
  for (const segment of line.segments) {
    element.append(segment.style === plain ? segment.text : segmentElement(segment));
  }
  element.append("\n");
  return element;
}

function segmentElement({ text, style }: Segment): HTMLElement {
  const element = document.createElement("span");
  element.textContent = text;
  const [fg, bg] = style.inverse ? [style.bg, style.fg] : [style.fg, style.bg];
  if (style.inverse) element.classList.add("inverse");
  // Bold text in one of the first eight colours is bright, as in most terminals.
  const bright = style.bold && typeof fg === "number" && fg < 8 ? fg + 8 : fg;
  color(element, "fg", bright);
  color(element, "bg", bg);
  for (const name of ["bold", "dim", "italic", "underline", "strike"] as const) {
    if (style[name]) element.classList.add(name);
  }
  return element;
}

function color(element: HTMLElement, kind: "fg" | "bg", value: Color | null): void {
  if (value === null) return;
  const css = cssColor(value);
  if (css === null) element.classList.add(`${kind}-${value}`);
  else if (kind === "fg") element.style.color = css;
  else element.style.backgroundColor = css;
}
