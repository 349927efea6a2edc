/** Real servers, in this process or their own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Server } from 'node:http';
import { type AddressInfo, createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { everythingV1 } from '../servers/v1-everything.ts';
import { everythingV2 } from '../servers/v2-everything.ts';
import { upstreamAuthorization } from '../suite/real-broker.ts';
import { python, pythonServer } from './python.ts';
import type { Step, Transport } from './visits.ts';

export interface Partner extends AsyncDisposable {
  readonly name: string;
  readonly port: number;
  /** Of the endpoint, there and at its sidecar. */
  readonly path: string;
  readonly transport: Transport;
  readonly steps: readonly Step[];
}

const lists: readonly Step[] = [{ kind: 'tools' }, { kind: 'resources' }, { kind: 'prompts' }];

const everythingSteps: readonly Step[] = [
  ...lists,
  { kind: 'call', name: 'test_simple_text' },
  { kind: 'call', name: 'test_multiple_content_types' },
  { kind: 'call', name: 'test_tool_with_progress' },
  { kind: 'call', name: 'test_error_handling' },
  { kind: 'call', name: 'no_such_tool' },
  { kind: 'read', uri: 'test://static-text' },
  { kind: 'read', uri: 'test://static-binary' },
  { kind: 'read', uri: 'test://no-such-resource' },
  { kind: 'prompt', name: 'test_prompt_with_arguments', arguments: { arg1: 'é', arg2: '{"b": 2}' } },
];

const pythonSteps: readonly Step[] = [
  ...lists,
  { kind: 'call', name: 'knows_key' },
  { kind: 'call', name: 'echo', arguments: { text: 'naïve \u{1f600}' } },
  { kind: 'call', name: 'progress' },
  { kind: 'call', name: 'fail' },
  { kind: 'call', name: 'no_such_tool' },
  { kind: 'read', uri: 'test://static-text' },
  { kind: 'prompt', name: 'greet', arguments: { name: 'é' } },
];

const packagedSteps: readonly Step[] = [
  ...lists,
  { kind: 'call', name: 'echo', arguments: { message: 'naïve \u{1f600}' } },
  { kind: 'call', name: 'get-tiny-image' },
  { kind: 'call', name: 'no_such_tool' },
  { kind: 'prompt', name: 'args-prompt', arguments: { city: 'é' } },
];

export async function startPartners(): Promise<readonly Partner[]> {
  const options = { authorization: upstreamAuthorization };
  return Promise.all([
    here('SDK v1', everythingV1(options)),
    here('SDK v2', everythingV2(options)),
    there('server-everything', http, (port) => packaged('streamableHttp', port)),
    there('Python SDK', http, (port) => inPython('mcp', port)),
    there('FastMCP', http, (port) => inPython('fastmcp', port)),
    there('server-everything', sse, (port) => packaged('sse', port)),
    there('FastMCP', sse, (port) => inPython('fastmcp-sse', port)),
  ]);
}

type About = Pick<Partner, 'transport' | 'path'>;
const http: About = { transport: 'http', path: '/mcp' };
const sse: About = { transport: 'sse', path: '/sse' };

const stepsAt: Readonly<Record<string, readonly Step[]>> = {
  'SDK v1': everythingSteps,
  'SDK v2': everythingSteps,
  'server-everything': packagedSteps,
  'Python SDK': pythonSteps,
  FastMCP: pythonSteps,
};

async function here(name: string, server: Server): Promise<Partner> {
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return {
    name,
    ...http,
    steps: stepsAt[name]!,
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function packaged(transport: string, port: number): ChildProcess {
  const program = 'node_modules/.bin/mcp-server-everything';
  return spawn(program, [transport], { env: { ...process.env, PORT: String(port) }, stdio: 'ignore' });
}

function inPython(kind: string, port: number): ChildProcess {
  return spawn(python, [pythonServer, kind, String(port), upstreamAuthorization], { stdio: 'ignore' });
}

async function there(name: string, about: About, start: (port: number) => ChildProcess): Promise<Partner> {
  const port = await freePort();
  const child = start(port);
  await answers(name, port);
  return {
    name,
    ...about,
    steps: stepsAt[name]!,
    port,
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null) return;
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
  };
}

async function freePort(): Promise<number> {
  const server = createServer();
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function answers(name: string, port: number): Promise<void> {
  for (let attempt = 0; attempt < 600; attempt += 1) {
    const response = await fetch(`http://127.0.0.1:${port}/mcp`, { method: 'DELETE' }).catch(() => undefined);
    await response?.text();
    if (response !== undefined) return;
    await sleep(50);
  }
  throw new Error(`${name} did not answer on port ${port}`);
}
