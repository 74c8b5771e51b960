// Whether terminals are read aloud: their text is repeated in elements that only screen readers have. That
// costs time with each line, so it is chosen.

import { Store } from "../store.js";

const KEY = "ephemeral.screen-reader";

export const screenReader = new Store(localStorage.getItem(KEY) === "on");

screenReader.subscribe(() => localStorage.setItem(KEY, screenReader.value ? "on" : "off"));
