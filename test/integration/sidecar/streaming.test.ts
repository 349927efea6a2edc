import { beforeAll, expect, test } from 'vitest';
import { verifies } from '#test/requirements.ts';
import { BrokerDouble, granted } from './support/broker-double.ts';
import { buildOnce, SidecarProcess } from './support/sidecar-process.ts';
import { Upstream } from './support/upstream.ts';
import { call, eventually, post, sendRaw } from './support/wire.ts';

beforeAll(buildOnce);

const events = { 'content-type': 'text/event-stream' };

async function sleep(ms: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms));
}

/** Of five, in order, as other programs share the machine. */
async function fiveTimes(measure: () => Promise<number>): Promise<readonly number[]> {
  const values: number[] = [];
  for (let run = 0; run < 5; run += 1) values.push(await measure());
  return values.sort((a, b) => a - b);
}

test(verifies('mcp:18-no-delay'), async () => {
  await using broker = await BrokerDouble.start();
  const sentAtMs: number[] = [];
  await using upstream = await Upstream.recording(async (_request, response) => {
    response.writeHead(200, events);
    for (let index = 0; index < 4; index += 1) {
      sentAtMs.push(performance.now());
      response.write(`data: {"n":${index}}\n\n`);
      await sleep(60);
    }
    response.end();
  });
  await using sidecar = await SidecarProcess.start({ broker, upstreamPort: upstream.port });
  broker.setLease('alice', granted('alice', 'k'));
  const firstMs = await fiveTimes(async () => {
    sentAtMs.length = 0;
    const response = await post(sidecar.url, call('slow'), { token: 'alice' });
    const gotAtMs: number[] = [];
    let text = '';
    for await (const chunk of response.body!) {
      gotAtMs.push(performance.now());
      text += Buffer.from(chunk).toString();
    }
    expect(text).toBe([0, 1, 2, 3].map((index) => `data: {"n":${index}}\n\n`).join(''));
    expect(gotAtMs).toHaveLength(4);
    expect(Math.max(...gotAtMs.map((got, index) => got - sentAtMs[index]!))).toBeLessThan(50);
    return gotAtMs[0]! - sentAtMs[0]!;
  });
  expect(firstMs[0]).toBeLessThan(5);
  expect(firstMs[2]).toBeLessThan(50);
});

test('tells the client that a stream is open although no event has come yet', async () => {
  await using broker = await BrokerDouble.start();
  await using upstream = await Upstream.recording(async (_request, response) => {
    response.writeHead(200, { ...events, 'mcp-session-id': 's' }).flushHeaders();
    await sleep(700);
    response.end('data: late\n\n');
  });
  await using sidecar = await SidecarProcess.start({ broker, upstreamPort: upstream.port });
  broker.setLease('alice', granted('alice', 'k'));
  const startedMs = performance.now();
  const headers = { authorization: 'Bearer alice', accept: 'text/event-stream' };
  const response = await fetch(sidecar.url, { headers });
  expect(performance.now() - startedMs).toBeLessThan(300);
  expect(response.headers.get('mcp-session-id')).toBe('s');
  expect(await response.text()).toBe(':\n\ndata: late\n\n');
});

test('keeps a silent stream alive', async () => {
  await using broker = await BrokerDouble.start();
  await using upstream = await Upstream.recording((_request, response) => {
    response.writeHead(200, events).write('data: 1\n\n');
  });
  await using sidecar = await SidecarProcess.start({ broker, upstreamPort: upstream.port });
  broker.setLease('alice', granted('alice', 'k'));
  const response = await post(sidecar.url, call('slow'), { token: 'alice' });
  const reader = response.body!.getReader();
  await reader.read();
  const startedMs = performance.now();
  expect(Buffer.from((await reader.read()).value ?? []).toString()).toBe(':\n\n');
  expect(performance.now() - startedMs).toBeGreaterThan(13_000);
  expect(performance.now() - startedMs).toBeLessThan(17_000);
  await reader.cancel();
});

test('closes the upstream at once when the client leaves, before and after the first byte', async () => {
  await using broker = await BrokerDouble.start();
  await using upstream = await Upstream.recording(async (request, response) => {
    if (request.url === '/mcp?silent') return;
    response.writeHead(200, events).write('data: 1\n\n');
    await sleep(5_000);
  });
  await using sidecar = await SidecarProcess.start({ broker, upstreamPort: upstream.port });
  broker.setLease('alice', granted('alice', 'k'));
  for (const [index, query] of ['?silent', '?streaming'].entries()) {
    const leaving = new AbortController();
    const response = post(`${sidecar.url}${query}`, call('slow'), { token: 'alice', signal: leaving.signal });
    response.catch(() => {});
    await eventually(() => upstream.received.length === index + 1);
    if (query === '?streaming') await (await response).body!.getReader().read();
    leaving.abort();
    await eventually(() => upstream.aborted === index + 1, 500);
  }
  await eventually(() => broker.events.size === 2);
  expect([...broker.events.values()].map((event) => [event.decision, event.httpStatus])).toEqual([
    ['clientClosed', 0],
    ['clientClosed', 200],
  ]);
});

test('does not let a response that broke off look complete', async () => {
  await using broker = await BrokerDouble.start();
  await using upstream = await Upstream.recording((request, response) => {
    response.writeHead(200, request.url === '/mcp?json' ? { 'content-type': 'application/json' } : events);
    response.write('data: 1\n\n');
    setTimeout(() => response.destroy(), 50);
  });
  await using sidecar = await SidecarProcess.start({ broker, upstreamPort: upstream.port });
  broker.setLease('alice', granted('alice', 'k'));
  for (const query of ['', '?json']) {
    const response = await post(`${sidecar.url}${query}`, call('x'), { token: 'alice' });
    await expect(response.text()).rejects.toThrow('terminated');
  }
  await eventually(() => broker.events.size === 2);
  expect([...broker.events.values()].every((event) => event.decision === 'upstreamUnavailable')).toBe(true);
});

test('slows the upstream down when the client reads slowly', async () => {
  await using broker = await BrokerDouble.start();
  let written = 0;
  await using upstream = await Upstream.recording(async (_request, response) => {
    response.writeHead(200, events);
    const chunk = Buffer.alloc(65_536, 'x');
    for (let index = 0; index < 1_600 && !response.destroyed; index += 1) {
      written += chunk.byteLength;
      if (!response.write(chunk)) await new Promise((resolve) => response.once('drain', resolve));
    }
    response.end();
  });
  await using sidecar = await SidecarProcess.start({ broker, upstreamPort: upstream.port });
  broker.setLease('alice', granted('alice', 'k'));
  const beforeBytes = await sidecar.residentBytes();
  const leaving = new AbortController();
  const response = await post(sidecar.url, call('big'), { token: 'alice', signal: leaving.signal });
  await response.body!.getReader().read();
  await sleep(1_500);
  expect(written).toBeLessThan(60_000_000);
  expect((await sidecar.residentBytes()) - beforeBytes).toBeLessThan(60_000_000);
  leaving.abort();
});

test('keeps the length of a response whose length is known', async () => {
  await using broker = await BrokerDouble.start();
  await using upstream = await Upstream.recording((_request, response) => {
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': 2 }).end('{}');
  });
  await using sidecar = await SidecarProcess.start({ broker, upstreamPort: upstream.port });
  broker.setLease('alice', granted('alice', 'k'));
  const body = call('x');
  const { text } = await sendRaw(
    sidecar.port,
    `POST /mcp HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer alice\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
  const head = text.slice(0, text.indexOf('\r\n\r\n')).toLowerCase();
  const framing = head.split('\r\n').filter((line) => /^(content-length|transfer-encoding|date):/.test(line));
  expect(framing.filter((line) => line.startsWith('date:'))).toHaveLength(1);
  expect(framing.filter((line) => !line.startsWith('date:'))).toHaveLength(1);
});
