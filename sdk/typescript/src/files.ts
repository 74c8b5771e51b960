// The files of a shell.

import { ApiError } from "./errors.js";
import type { FileList, StoredFile, Unpacked, Upload } from "./models.js";
import { Backoff } from "./retry.js";
import type { Shell } from "./shell.js";

/** A Blob is sent in pieces; `openAsBlob` of `node:fs` makes one of a file. */
export type Content = string | Uint8Array<ArrayBuffer> | Blob;

/**
 * Reads and writes files of a shell, as the user of its commands. A relative path counts from the home
 * directory. Waits until the shell is ready.
 */
export class Files {
  readonly #path: string;

  constructor(readonly shell: Shell) {
    this.#path = `/v1/sessions/${shell.id}/files`;
  }

  /**
   * Replaces or creates a file, with its directories. `mode` has permission bits, such as `0o755`; without it
   * a file keeps its own. A text is written as UTF-8.
   */
  write(path: string, content: Content, { mode }: { mode?: number } = {}): Promise<StoredFile> {
    const bits = mode === undefined ? {} : { mode: mode.toString(8).padStart(4, "0") };
    return this.#send("", { path, ...bits }, content, "application/octet-stream");
  }

  /** The content of a file. */
  async read(path: string): Promise<Uint8Array> {
    return this.#retried(async () => this.#receive("", path));
  }

  /** The content of a file as UTF-8, with U+FFFD for what is none. */
  async readText(path: string): Promise<string> {
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(await this.read(path));
  }

  /** The content of a file in pieces, as they come. */
  async stream(path: string): Promise<ReadableStream<Uint8Array>> {
    const response = await this.#retried(() => this.#transfer("GET", "", { path }));
    return response.body ?? new Blob([]).stream();
  }

  /** The content of a directory; with `depth`, of those in it too. */
  list(path = ".", options: { depth?: number; limit?: number } = {}): Promise<FileList> {
    const given = Object.entries(options).filter(([, value]) => value !== undefined);
    const query = { path, ...Object.fromEntries(given.map(([name, value]) => [name, String(value)])) };
    return this.#retried(async () => {
      const response = await this.#transfer("GET", "/list", query);
      return (await this.shell.client.answered(response.json())) as FileList;
    });
  }

  /** Removes a file or an empty directory; with `recursive`, a directory with its content. */
  async remove(path: string, { recursive = false } = {}): Promise<void> {
    let mayBeRemoved = false;
    await this.#retried(async () => {
      try {
        await this.#transfer("DELETE", "", { path, recursive: String(recursive) });
      } catch (error) {
        if (mayBeRemoved && error instanceof ApiError && error.code === "path_not_found") return;
        // The outcome is not known if the response was lost or is a failure of the server.
        if (!(error instanceof ApiError) || error.status >= 500) mayBeRemoved = true;
        throw error;
      }
    });
  }

  /** The content of a directory, or a file, as a tar archive. */
  async pack(path = "."): Promise<Uint8Array> {
    return this.#retried(async () => this.#receive("/archive", path));
  }

  /** Unpacks a tar archive into a directory. */
  unpack(archive: Content, path = "."): Promise<Unpacked> {
    return this.#send("/archive", { path }, archive, "application/x-tar");
  }

  #send<T>(place: string, query: Record<string, string>, body: Content, type: string): Promise<T> {
    return this.#retried(async () => {
      const upload = await this.#upload(body);
      const to = upload === null ? query : { ...query, upload };
      const sent = upload === null ? { body } : {};
      const response = await this.#transfer("PUT", place, to, { ...sent, headers: { "content-type": type } });
      return (await response.json()) as T;
    });
  }

  /** Puts bytes where a server wants them that does not take them itself; the upload's id. */
  async #upload(content: Content): Promise<string | null> {
    const { client } = this.shell;
    if (client.takesBytes) return null;
    const body = new Blob([content]);
    try {
      const { uploadId, url } = await client.post<Upload>(`${this.#path}/uploads`, { size: body.size });
      await client.stored(url, { method: "PUT", body });
      return uploadId;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      client.takesBytes = error.code === "uploads_unavailable";
      // An earlier server has no such route; otherwise the next request tells what is not found.
      if (client.takesBytes || error.code === "not_found") return null;
      throw error;
    }
  }

  async #receive(place: string, path: string): Promise<Uint8Array> {
    const response = await this.#transfer("GET", place, { path });
    return new Uint8Array(await this.shell.client.answered(response.arrayBuffer()));
  }

  #transfer(method: string, place: string, query: Record<string, string>, init: RequestInit = {}): Promise<Response> {
    return this.shell.client.transfer(`${this.#path}${place}?${new URLSearchParams(query)}`, { ...init, method });
  }

  /** The result of an attempt, which has the same effect when it is repeated. */
  async #retried<T>(attempt: () => Promise<T>): Promise<T> {
    const { client } = this.shell;
    const backoff = new Backoff(client.retrySeconds * 1000);
    for (;;) {
      try {
        return await attempt();
      } catch (error) {
        if (error instanceof ApiError && error.code === "not_ready") await this.shell.waitReady();
        else await backoff.pause(error, client.hasResponded);
      }
    }
  }
}
