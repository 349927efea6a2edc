import type { ServerRef } from '#contract/lease.ts';
import { copyKey, type FoundSecret, readKeySecret, type SecretState } from '#operator/shared-keys/key-secret.ts';
import type { ReferencedSecrets } from '#operator/shared-keys/referenced-secrets.ts';
import type { SecretRef } from '#operator/shared-keys/secret-follower.ts';
import type { OpenedKey } from '#operator/keystore/key-store.ts';
import type { RawSecret } from '#operator/keystore/secret-json.ts';

/** Secrets with keys of organizations that the test writes, read as the real ones are. */
export class MemorySecrets implements Pick<ReferencedSecrets, 'stateOf' | 'open' | 'onChange'> {
  readonly opened: OpenedKey[] = [];
  failure: Error | undefined;
  readonly #found = new Map<string, { readonly state: FoundSecret; readonly raw: RawSecret }>();
  readonly #states = new Map<string, SecretState>();
  readonly #handlers: ((server: ServerRef) => void)[] = [];
  #version = 100;

  /** `forServer` is the annotation. */
  put(ref: SecretRef, data: Readonly<Record<string, string>>, forServer: string | undefined): void {
    this.#version += 1;
    const annotations = forServer === undefined ? {} : { 'mcpkeyring.io/for-server': forServer };
    const encoded = Object.entries(data).map(([name, value]) => [name, Buffer.from(value).toString('base64')]);
    const metadata = { ...ref, annotations, resourceVersion: String(this.#version) };
    const json = Buffer.from(JSON.stringify({ metadata, data: Object.fromEntries(encoded) as object }));
    const read = readKeySecret(json);
    this.#found.set(keyOf(ref), read);
    this.#states.set(keyOf(ref), read.state);
    for (const name of read.state.servers) this.changed({ namespace: ref.namespace, name });
  }

  become(ref: SecretRef, state: SecretState): void {
    this.#found.delete(keyOf(ref));
    this.#states.set(keyOf(ref), state);
  }

  changed(server: ServerRef): void {
    for (const handler of this.#handlers) handler(server);
  }

  stateOf(ref: SecretRef): SecretState {
    return this.#states.get(keyOf(ref)) ?? { kind: 'notFound' };
  }

  open(ref: SecretRef): Promise<OpenedKey | undefined> {
    if (this.failure !== undefined) return Promise.reject(this.failure);
    const found = this.#found.get(keyOf(ref));
    if (found === undefined) return Promise.resolve(undefined);
    const key = copyKey(found.raw, found.state.version);
    this.opened.push(key);
    return Promise.resolve(key);
  }

  onChange(handler: (server: ServerRef) => void): void {
    this.#handlers.push(handler);
  }
}

function keyOf({ namespace, name }: SecretRef): string {
  return `${namespace}/${name}`;
}
