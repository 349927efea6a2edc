/** Proxies with a server behind them that writes down bytes. */
import { makeTestCertificate } from '#test/support/test-certificates.ts';
import { SidecarProcess } from '../../sidecar/support/sidecar-process.ts';
import type { RealBroker } from '../suite/real-broker.ts';
import { RawUpstream } from './raw-upstream.ts';

export interface Way extends AsyncDisposable {
  readonly upstream: RawUpstream;
  /** Of the proxy. */
  readonly port: number;
  /** At the proxy; the server's is `/mcp`. */
  readonly path: string;
  /** What the server has to find in Host. */
  readonly host: string;
}

export async function throughSidecar(real: RealBroker): Promise<Way> {
  const upstream = await RawUpstream.start(() => {});
  const proxy = await SidecarProcess.start({ broker: real.broker, upstreamPort: upstream.port });
  return wayOf(proxy, upstream, { path: '/mcp', host: `127.0.0.1:${upstream.port}` });
}

/** To a server outside the cluster, over TLS. */
export async function throughGateway(real: RealBroker): Promise<Way> {
  const certificate = await makeTestCertificate(['localhost']);
  const upstream = await RawUpstream.start(() => {}, certificate);
  const broker = real.gatewayTo({ port: upstream.port, ca: certificate.ca });
  const proxy = await SidecarProcess.start({ broker, upstreamPort: 0, serving: ['--mode=gateway'] });
  return wayOf(proxy, upstream, { path: real.outsidePath, host: `localhost:${upstream.port}` });
}

function wayOf(proxy: SidecarProcess, upstream: RawUpstream, place: Pick<Way, 'path' | 'host'>): Way {
  return {
    ...place,
    upstream,
    port: proxy.port,
    async [Symbol.asyncDispose]() {
      await proxy[Symbol.asyncDispose]();
      await upstream[Symbol.asyncDispose]();
    },
  };
}
