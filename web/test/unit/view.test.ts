import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { OutputView } from "../../src/output/view.js";

/** What the view uses of an element, without layout. */
class FakeElement {
  #children: (FakeElement | string)[] = [];
  className = "";
  scrollTop = 0;
  readonly scrollHeight = 0;

  append(...children: (FakeElement | string)[]): void {
    this.#children.push(...children);
  }
  replaceChildren(...children: (FakeElement | string)[]): void {
    this.#children = children;
  }
  addEventListener(): void {}
  get textContent(): string {
    return this.#children.map((child) => (typeof child === "string" ? child : child.textContent)).join("");
  }
}

/** A view; `text` runs the frames that are due and returns the text that is drawn then. */
function newView(context: TestContext): { view: OutputView; text: () => string } {
  const frames: (() => void)[] = [];
  const fakes = {
    document: { createElement: () => new FakeElement(), createTextNode: (text: string) => text },
    requestAnimationFrame: (frame: () => void) => frames.push(frame),
  };
  Object.assign(globalThis, fakes);
  context.after(() => {
    for (const name of Object.keys(fakes)) Reflect.deleteProperty(globalThis, name);
  });
  const container = new FakeElement();
  const view = new OutputView(container as unknown as HTMLElement, () => undefined);
  const text = () => {
    for (const frame of frames.splice(0)) frame();
    return container.textContent;
  };
  return { view, text };
}

const encode = (text: string) => new TextEncoder().encode(text);
const GAP = "… 10 B of stdout left out …\n";

test("a gap before the first merged output stays on the page", (context) => {
  const { view, text } = newView(context);
  view.gap("stdout", 10);
  assert.equal(text(), GAP);
  view.merge();
  view.push("stdout", encode("out "));
  view.merge();
  view.push("stderr", encode("error\n"));
  assert.equal(text(), `${GAP}out error\n`);
});

test("a gap and merged output that come before the first frame are both drawn", (context) => {
  const { view, text } = newView(context);
  view.gap("stdout", 10);
  view.merge();
  view.push("stderr", encode("error\n"));
  assert.equal(text(), `${GAP}error\n`);
});

test("output without marks that precedes merged output stays, once", (context) => {
  const { view, text } = newView(context);
  view.push("stdout", encode("begin\n".repeat(500)));
  text();
  view.merge();
  view.push("stderr", encode("end\n"));
  assert.equal(text(), `${"begin\n".repeat(500)}end\n`);
});
