// Lets xterm.js style its elements under the page's policy, which forbids inline styles.

let isInstalled = false;

/**
 * From now on, a `style` element that a script creates writes its text to a constructed style sheet, and the
 * attribute `style` of a `span` is set by the CSS object model. `style-src 'self'` permits both, because
 * only a script of this origin can do either; it would refuse the elements and the attribute themselves.
 *
 * xterm.js has an option `documentOverride`, but in version 6.0.0 its rows and its scroll bar create their
 * elements by the global document all the same.
 */
export function installConstructedStyles(): void {
  if (isInstalled) return;
  isInstalled = true;
  const createElement = document.createElement.bind(document) as (name: string, options?: ElementCreationOptions) => HTMLElement;
  document.createElement = ((name: string, options?: ElementCreationOptions) =>
    name === "style" ? sheetElement() : createElement(name, options)) as typeof document.createElement;
  HTMLSpanElement.prototype.setAttribute = function (this: HTMLSpanElement, name: string, value: string) {
    if (name === "style") this.style.cssText = value;
    else Element.prototype.setAttribute.call(this, name, value);
  };

  /** An element whose text is a style sheet of the document until the element is removed. */
  function sheetElement(): HTMLElement {
    const element = createElement("span");
    element.hidden = true;
    const sheet = new CSSStyleSheet();
    document.adoptedStyleSheets.push(sheet);
    Object.defineProperty(element, "textContent", { set: (text: string) => sheet.replaceSync(text) });
    element.remove = () => {
      document.adoptedStyleSheets = document.adoptedStyleSheets.filter((each) => each !== sheet);
      Element.prototype.remove.call(element);
    };
    return element;
  }
}
