import { BrokerDouble, granted } from './broker-double.ts';
import { SidecarProcess } from './sidecar-process.ts';
import { type Responder, Upstream } from './upstream.ts';

export interface SetUpOptions {
  readonly respond?: Responder | undefined;
  readonly flags?: readonly string[];
  /** Each with a key, `key-of-<user>`. */
  readonly users?: readonly string[];
  readonly openFilesMax?: number;
}

/** A sidecar between a broker and an upstream that records what it gets. */
export async function setUpSidecar({ respond, flags = [], users = ['alice'], ...more }: SetUpOptions = {}) {
  const broker = await BrokerDouble.start();
  const upstream = await Upstream.recording(respond);
  const sidecar = await SidecarProcess.start({ broker, upstreamPort: upstream.port, flags, ...more });
  for (const user of users) broker.setLease(user, granted(user, `key-of-${user}`));
  return {
    broker,
    upstream,
    sidecar,
    async [Symbol.asyncDispose]() {
      await sidecar[Symbol.asyncDispose]();
      await upstream[Symbol.asyncDispose]();
      await broker[Symbol.asyncDispose]();
    },
  };
}
