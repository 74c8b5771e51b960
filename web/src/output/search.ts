// Finds text in drawn output and highlights it without changing the document.

/** More are not looked for. */
export const MAX_MATCHES = 5000;

const ALL = "search";
const CURRENT = "search-current";

/** Where a text is: in which element, and from which to which character of its text. */
interface Match {
  element: Element;
  start: number;
  end: number;
}

/** All places of a text, ignoring case. */
export function find(elements: Iterable<Element>, text: string): Match[] {
  const matches: Match[] = [];
  if (text === "") return matches;
  const pattern = new RegExp(text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "gi");
  for (const element of elements) {
    for (const match of (element.textContent ?? "").matchAll(pattern)) {
      matches.push({ element, start: match.index, end: match.index + match[0].length });
      if (matches.length === MAX_MATCHES) return matches;
    }
  }
  return matches;
}

/** Highlights the matches, and one of them as the current one. */
export function highlight(matches: Match[], current: number): void {
  if (!("highlights" in CSS)) return;
  const ranges = matches.map(range);
  CSS.highlights.set(ALL, new Highlight(...ranges));
  const selected = ranges[current];
  CSS.highlights.set(CURRENT, new Highlight(...(selected ? [selected] : [])));
}

export function clearHighlights(): void {
  if (!("highlights" in CSS)) return;
  CSS.highlights.delete(ALL);
  CSS.highlights.delete(CURRENT);
}

/** Scrolls the container so that the match is in its middle. */
export function reveal(match: Match, container: HTMLElement): void {
  // The first call makes the browser lay out a block that was out of sight.
  match.element.scrollIntoView({ block: "nearest" });
  const found = range(match).getBoundingClientRect();
  const frame = container.getBoundingClientRect();
  container.scrollTop += found.top - frame.top - frame.height / 2;
  if (found.left < frame.left || found.right > frame.right) {
    container.scrollLeft += found.left - frame.left - frame.width / 3;
  }
}

function range(match: Match): Range {
  const found = document.createRange();
  const walker = document.createTreeWalker(match.element, NodeFilter.SHOW_TEXT);
  let at = 0;
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const length = node.nodeValue?.length ?? 0;
    if (match.start >= at && match.start < at + length) found.setStart(node, match.start - at);
    if (match.end > at && match.end <= at + length) {
      found.setEnd(node, match.end - at);
      break;
    }
    at += length;
  }
  return found;
}
