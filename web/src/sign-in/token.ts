// The token of this tab. It is kept in the tab's session storage: it survives a reload, ends with the tab,
// and is never part of a URL.

import { Store } from "../store.js";

const KEY = "ephemeral.token";

/** The token, if a user has signed in. */
export const token = new Store<string | null>(sessionStorage.getItem(KEY));

/** Counts the sign-ins of this page. A token that replaces one of the same user is none. */
export const signIns = new Store(0);

/** Why the user has to sign in again, if so. */
export const signedOutBecause = new Store<string | null>(null);

export function signIn(value: string): void {
  signedOutBecause.set(null);
  signIns.set(signIns.value + 1);
  replaceToken(value);
}

/** Goes on with another token of the same user. */
export function replaceToken(value: string): void {
  sessionStorage.setItem(KEY, value);
  token.set(value);
}

/** Forgets the token and all else that this tab knows of the user. */
export function signOut(reason: string | null = null): void {
  sessionStorage.clear();
  signedOutBecause.set(reason);
  token.set(null);
}
