// Which page is shown. The page is named after the `#` of the URL, so that the server serves one document.

import { Store } from "./store.js";

export type Route =
  | { page: "sessions" }
  | { page: "session"; id: string }
  | { page: "job"; id: string }
  | { page: "webhooks"; sessionId?: string }
  | { page: "unknown" };

/** The page that a fragment names, with or without its `#`. */
export function parseRoute(fragment: string): Route {
  const path = fragment.replace(/^#/, "").replace(/^\//, "");
  if (path === "") return { page: "sessions" };
  if (path === "webhooks") return { page: "webhooks" };
  const deliveries = /^webhooks\/(sh_[0-9A-Z]{26})$/.exec(path)?.[1];
  if (deliveries) return { page: "webhooks", sessionId: deliveries };
  const session = /^sessions\/(sh_[0-9A-Z]{26})$/.exec(path)?.[1];
  if (session) return { page: "session", id: session };
  const job = /^jobs\/(job_[0-9A-Z]{26})$/.exec(path)?.[1];
  if (job) return { page: "job", id: job };
  return { page: "unknown" };
}

export const sessionsLink = "#/";
export const webhooksLink = "#/webhooks";
export const deliveriesLink = (sessionId: string) => `#/webhooks/${sessionId}`;
export const sessionLink = (id: string) => `#/sessions/${id}`;
export const jobLink = (id: string) => `#/jobs/${id}`;

export const route = new Store<Route>(parseRoute(location.hash));

addEventListener("hashchange", () => route.set(parseRoute(location.hash)));

export function goTo(link: string): void {
  location.hash = link;
}
