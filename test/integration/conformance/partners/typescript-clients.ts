/** The official SDK's clients, both generations. */
import { Client as ClientV2, StreamableHTTPClientTransport as TransportV2 } from '@modelcontextprotocol/client';
import { Client as ClientV1 } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as TransportV1 } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { SSEClientTransport } from '@modelcontextprotocol/sdk/client/sse.js';
import { failed, type Outcomes, type Step, type Visit, type VisitAll } from './visits.ts';

const info = { name: 'partner', version: '1.0.0' };

type Play = (step: Step, onprogress: (progress: object) => void) => Promise<unknown>;

async function play(steps: readonly Step[], playOne: Play): Promise<Outcomes> {
  const outcomes: unknown[] = [];
  for (const step of steps) {
    const progress: object[] = [];
    const outcome = await playOne(step, (one) => progress.push(one)).catch(failed);
    outcomes.push({ outcome, progress });
  }
  return outcomes;
}

async function visitV1({ url, authorization, transport: kind, steps }: Visit): Promise<Outcomes> {
  const client = new ClientV1(info);
  const Transport = kind === 'sse' ? SSEClientTransport : TransportV1;
  const transport = new Transport(new URL(url), { requestInit: { headers: { authorization } } });
  await client.connect(transport);
  const version = transport instanceof TransportV1 ? transport.protocolVersion : undefined;
  const first = { server: client.getServerVersion()?.name, version };
  const outcomes = await play(steps, (step, onprogress) => {
    switch (step.kind) {
      case 'tools':
        return client.listTools();
      case 'resources':
        return client.listResources();
      case 'prompts':
        return client.listPrompts();
      case 'read':
        return client.readResource({ uri: step.uri });
      case 'prompt':
        return client.getPrompt({ name: step.name, arguments: { ...step.arguments } });
      case 'call':
        return client.callTool({ name: step.name, arguments: { ...step.arguments } }, undefined, { onprogress });
    }
  });
  if (transport instanceof TransportV1) await transport.terminateSession();
  await client.close();
  return [first, ...outcomes];
}

async function visitV2({ url, authorization, mode, steps }: Visit): Promise<Outcomes> {
  const client = new ClientV2(info, { versionNegotiation: { mode } });
  const transport = new TransportV2(new URL(url), { requestInit: { headers: { authorization } } });
  await client.connect(transport);
  const first = { server: client.getServerVersion()?.name, version: client.getNegotiatedProtocolVersion() };
  const outcomes = await play(steps, (step, onprogress) => {
    switch (step.kind) {
      case 'tools':
        return client.listTools();
      case 'resources':
        return client.listResources();
      case 'prompts':
        return client.listPrompts();
      case 'read':
        return client.readResource({ uri: step.uri });
      case 'prompt':
        return client.getPrompt({ name: step.name, arguments: { ...step.arguments } });
      case 'call':
        return client.callTool({ name: step.name, arguments: { ...step.arguments } }, { onprogress });
    }
  });
  await client.close();
  return [first, ...outcomes];
}

function oneByOne(visit: (one: Visit) => Promise<Outcomes>): VisitAll {
  return async (visits) => {
    const all: Outcomes[] = [];
    for (const one of visits) all.push(await visit(one));
    return all;
  };
}

export const visitAllV1 = oneByOne(visitV1);
export const visitAllV2 = oneByOne(visitV2);
