import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type ListenOptions } from 'node:net';
import { beforeAll, expect, test } from 'vitest';
import { buildOnce, executable, freePort } from './support/sidecar-process.ts';

beforeAll(buildOnce);

const flags = ['listen', 'health', 'metrics'];
const listeners: readonly ListenOptions[] = [{ host: '0.0.0.0' }, { host: '::' }, { host: '::', ipv6Only: true }];

test.each(flags.flatMap((flag) => listeners.map((listener) => ({ flag, ...listener }))))(
  'says in one line that another container has its port (--$flag, $host, ipv6Only $ipv6Only), and ends',
  async ({ flag, ...listener }) => {
    const port = await freePort();
    const other = createServer().listen({ ...listener, port });
    await once(other, 'listening');
    const ports: Record<string, number> = { listen: 0, health: 0, metrics: 0 };
    for (const name of flags) ports[name] = name === flag ? port : await freePort();
    const { code, output } = await run(Object.entries(ports).map(([name, value]) => `--${name}=${value}`));
    other.close();
    expect(code).toBe(1);
    expect(
      output
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as unknown),
    ).toEqual([
      { time: expect.any(String), level: 'error', msg: `port ${port} is taken by another container of the pod` },
    ]);
  },
);

async function run(ports: readonly string[]): Promise<{ code: unknown; output: string }> {
  const args = ['--server=a/b', '--upstream=http://127.0.0.1:1', '--path=/mcp', '--broker=https://127.0.0.1:1'];
  const files = ['--ca=/dev/null', '--token=/dev/null'];
  const options = { timeout: 10_000, env: { BUN_CONFIG_MAX_HTTP_REQUESTS: '16384' } };
  return new Promise((resolve) => {
    execFile(executable, [...args, ...files, ...ports], options, (error, stdout, stderr) =>
      resolve({ code: error?.code, output: stdout + stderr }),
    );
  });
}
