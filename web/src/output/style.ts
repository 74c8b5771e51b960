// The look of terminal output: the SGR parameters of ECMA-48 and their extensions by xterm.

/** A colour: a number of the palette of 256, or `#rrggbb`. */
export type Color = number | string;

/** Equal looks are the same object, so they can be compared by identity. */
export interface Style {
  readonly fg: Color | null;
  readonly bg: Color | null;
  readonly bold: boolean;
  readonly dim: boolean;
  readonly italic: boolean;
  readonly underline: boolean;
  readonly strike: boolean;
  readonly inverse: boolean;
}

export const plain: Style = {
  fg: null,
  bg: null,
  bold: false,
  dim: false,
  italic: false,
  underline: false,
  strike: false,
  inverse: false,
};

/** The style after the parameters of one SGR sequence, such as `1;31`. */
export function applySgr(style: Style, parameters: string): Style {
  const codes = parameters.split(/[;:]/).map((part) => (part === "" ? 0 : Number(part)));
  let next = style;
  for (let at = 0; at < codes.length; at++) {
    const code = codes[at] ?? 0;
    // 58 is the colour of underlines, which is not shown.
    if (code === 38 || code === 48 || code === 58) {
      const [color, used] = extendedColor(codes.slice(at + 1));
      at += used;
      if (color !== null && code !== 58) next = { ...next, [code === 38 ? "fg" : "bg"]: color };
    } else {
      next = simple(next, code);
    }
  }
  return same(next, plain) ? plain : same(next, style) ? style : next;
}

function simple(style: Style, code: number): Style {
  if (code >= 30 && code <= 37) return { ...style, fg: code - 30 };
  if (code >= 40 && code <= 47) return { ...style, bg: code - 40 };
  if (code >= 90 && code <= 97) return { ...style, fg: code - 82 };
  if (code >= 100 && code <= 107) return { ...style, bg: code - 92 };
  switch (code) {
    case 0:
      return plain;
    case 1:
      return { ...style, bold: true };
    case 2:
      return { ...style, dim: true };
    case 3:
      return { ...style, italic: true };
    case 4:
    case 21:
      return { ...style, underline: true };
    case 7:
      return { ...style, inverse: true };
    case 9:
      return { ...style, strike: true };
    case 22:
      return { ...style, bold: false, dim: false };
    case 23:
      return { ...style, italic: false };
    case 24:
      return { ...style, underline: false };
    case 27:
      return { ...style, inverse: false };
    case 29:
      return { ...style, strike: false };
    case 39:
      return { ...style, fg: null };
    case 49:
      return { ...style, bg: null };
    default:
      return style;
  }
}

/** The colour after a 38 or 48, and how many codes it took. */
function extendedColor(codes: number[]): [Color | null, number] {
  if (codes[0] === 5) {
    const index = codes[1];
    return [index !== undefined && index >= 0 && index <= 255 ? index : null, 2];
  }
  if (codes[0] !== 2) return [null, 1];
  const channels = codes.slice(1, 4);
  const isValid = channels.length === 3 && channels.every((value) => value >= 0 && value <= 255);
  return [isValid ? `#${channels.map(hex).join("")}` : null, 4];
}

/** The value in CSS of a colour beyond the first 16, which the style sheet has. */
export function cssColor(color: Color): string | null {
  if (typeof color === "string") return color;
  if (color < 16) return null;
  if (color >= 232) {
    const gray = 8 + (color - 232) * 10;
    return `#${hex(gray).repeat(3)}`;
  }
  const index = color - 16;
  const channel = (value: number) => hex(value === 0 ? 0 : 55 + value * 40);
  return `#${channel(Math.floor(index / 36))}${channel(Math.floor(index / 6) % 6)}${channel(index % 6)}`;
}

function hex(value: number): string {
  return value.toString(16).padStart(2, "0");
}

function same(a: Style, b: Style): boolean {
  return (Object.keys(plain) as (keyof Style)[]).every((key) => a[key] === b[key]);
}
