import type { SecureContextOptions } from 'node:tls';

import type { Informer } from '#operator/kube/informer.ts';
import type { Log } from '#operator/kube/observers.ts';
import type { Secret } from '#operator/kube/resources.ts';

import type { CertificateMetrics } from './metrics.ts';
import { bundleOf, readTlsState, tlsSecretName } from './tls-state.ts';
import type { TlsState } from './tls-state.ts';

export interface ServingIdentity {
  readonly cert: Buffer;
  readonly key: Buffer;
}

/** The part of `tls.Server` that is needed. */
export interface ReloadableServer {
  setSecureContext(options: SecureContextOptions): void;
}

export interface ServingCertificateOptions {
  /** Must hold Secret `mcp-keyring-tls` of the operator's namespace. */
  readonly secrets: Pick<Informer<Secret>, 'store' | 'onChange'>;
  readonly operatorNamespace: string;
  readonly metrics: CertificateMetrics;
  readonly log: Log;
}

/** What every replica serves and publishes: always what the Secret says. A Secret that cannot be read changes nothing. */
export class ServingCertificate {
  readonly #options: ServingCertificateOptions;
  readonly #servers = new Map<ReloadableServer, SecureContextOptions['minVersion']>();
  readonly #bundleHandlers: ((bundle: string) => void)[] = [];
  #state: TlsState | undefined;
  readonly #ready = Promise.withResolvers<void>();

  constructor(options: ServingCertificateOptions) {
    this.#options = options;
    options.secrets.onChange((change) => {
      if (change.kind !== 'deleted' && isTlsSecret(change.object, options.operatorNamespace)) this.#load(change.object);
    });
  }

  /** The leaf; `undefined` until there is one. */
  get identity(): ServingIdentity | undefined {
    const leaf = this.#state?.leaf;
    return leaf === undefined ? undefined : { cert: Buffer.from(leaf.pem), key: leaf.keyPem };
  }

  /** PEM of every CA that clients have to trust now; `undefined` until there is one. */
  caBundle(): string | undefined {
    return this.#state === undefined ? undefined : bundleOf(this.#state);
  }

  /** Calls `handler` with each new bundle, and at once when there is one. */
  onBundleChange(handler: (bundle: string) => void): void {
    this.#bundleHandlers.push(handler);
    const bundle = this.caBundle();
    if (bundle !== undefined) handler(bundle);
  }

  /** Resolves once there is a leaf. */
  async ready(signal: AbortSignal): Promise<ServingIdentity> {
    const aborted = Promise.withResolvers<never>();
    const abort = (): void => aborted.reject(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    try {
      if (signal.aborted) abort();
      await Promise.race([this.#ready.promise, aborted.promise]);
    } finally {
      signal.removeEventListener('abort', abort);
    }
    const identity = this.identity;
    if (identity === undefined) throw new Error('ready without a leaf');
    return identity;
  }

  /** For the readiness check. */
  isValidAt(nowMs: number): boolean {
    return this.#state !== undefined && nowMs < this.#state.leaf.notAfterMs;
  }

  /** Keeps `server` on the current leaf; connections that exist are left alone. Returns how to stop that. */
  attach(server: ReloadableServer, minVersion: SecureContextOptions['minVersion']): () => void {
    this.#servers.set(server, minVersion);
    this.#reload(server, minVersion);
    return () => void this.#servers.delete(server);
  }

  #load(secret: Secret): void {
    const reading = readTlsState(secret.data);
    if (reading.kind === 'empty') return;
    if (reading.kind === 'unreadable') {
      this.#options.log.error('serving certificate cannot be read', { problem: reading.problem });
      return;
    }
    const previousBundle = this.caBundle();
    const previousLeaf = this.#state?.leaf.pem;
    this.#state = reading.state;
    this.#options.metrics.served({
      leafNotAfterMs: reading.state.leaf.notAfterMs,
      caNotAfterMs: reading.state.active.notAfterMs,
    });
    if (previousLeaf !== reading.state.leaf.pem) this.#reloadAll();
    const bundle = bundleOf(reading.state);
    if (previousBundle !== bundle) for (const handler of this.#bundleHandlers) handler(bundle);
    this.#ready.resolve();
  }

  #reloadAll(): void {
    for (const [server, minVersion] of this.#servers) this.#reload(server, minVersion);
  }

  #reload(server: ReloadableServer, minVersion: SecureContextOptions['minVersion']): void {
    const identity = this.identity;
    if (identity !== undefined) server.setSecureContext({ ...identity, minVersion });
  }
}

export function isTlsSecret(secret: Secret, operatorNamespace: string): boolean {
  return secret.metadata.name === tlsSecretName && secret.metadata.namespace === operatorNamespace;
}
