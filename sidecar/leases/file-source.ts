import { readFile } from 'node:fs/promises';

export interface FileSourceOptions {
  readonly path: string;
  /** Longest that one reading is used. */
  readonly ageMsMax: number;
  readonly bytesMax: number;
  readonly nowMs: () => number;
}

/** A small text file that the kubelet replaces now and then. */
export class FileSource {
  readonly #options: FileSourceOptions;
  #text: string | undefined;
  #readAtMs = 0;

  constructor(options: FileSourceOptions) {
    this.#options = options;
  }

  /** @throws when the file has never been read and cannot be; later the last reading is kept until one works */
  async read(): Promise<string> {
    const { ageMsMax, nowMs } = this.#options;
    if (this.#text !== undefined && nowMs() - this.#readAtMs < ageMsMax) return this.#text;
    return this.#reread();
  }

  /** The next `read` looks at the file. */
  expire(): void {
    this.#readAtMs = Number.NEGATIVE_INFINITY;
  }

  async #reread(): Promise<string> {
    const { path, bytesMax, nowMs } = this.#options;
    try {
      const text = (await readFile(path, 'utf8')).trim();
      if (text === '' || text.length > bytesMax) throw new Error(`${path} is empty or larger than ${bytesMax} bytes`);
      this.#text = text;
    } catch (error) {
      if (this.#text === undefined) throw error;
    }
    this.#readAtMs = nowMs();
    return this.#text;
  }
}
