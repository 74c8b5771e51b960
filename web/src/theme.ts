// Light or dark. Without a choice, the system's setting holds.

import { Store } from "./store.js";

export type Theme = "system" | "light" | "dark";

const KEY = "ephemeral.theme";
const themes: readonly Theme[] = ["system", "light", "dark"];

export const theme = new Store<Theme>(stored());

apply(theme.value);
theme.subscribe(() => {
  apply(theme.value);
  localStorage.setItem(KEY, theme.value);
});

export function nextTheme(): void {
  theme.set(themes[(themes.indexOf(theme.value) + 1) % themes.length] ?? "system");
}

function stored(): Theme {
  const value = localStorage.getItem(KEY) as Theme | null;
  return value !== null && themes.includes(value) ? value : "system";
}

function apply(value: Theme): void {
  if (value === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = value;
}
