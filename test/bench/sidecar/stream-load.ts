/**
 * Opens event streams and says how late events are: `node stream-load.ts <url> <streams> <seconds> <headers as JSON>` prints
 * `{ opened, events, p50Ms, p99Ms }` and keeps the streams open until its input ends.
 */
import { request } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';

const [, , url = '', count = '0', seconds = '0', headers = '{}'] = process.argv;
const latenciesMs: number[] = [];
let opened = 0;

function open(): Promise<void> {
  return new Promise((resolve, reject) => {
    const options = {
      agent: false as const,
      headers: { ...(JSON.parse(headers) as Record<string, string>), accept: 'text/event-stream' },
    };
    const opening = request(url, options, (response) => {
      if (response.statusCode !== 200) return reject(new Error(`status ${response.statusCode}`));
      opened += 1;
      resolve();
      response.setEncoding('utf8').on('data', (text: string) => {
        const nowMs = performance.timeOrigin + performance.now();
        for (const [, at] of text.matchAll(/"data":([\d.]+)/g)) latenciesMs.push(nowMs - Number(at));
      });
    });
    opening.on('error', reject);
    opening.end();
  });
}

// Not all at once: no proxy meets a thousand handshakes in one moment.
for (let index = 0; index < Number(count); index += 50) {
  await Promise.all(Array.from({ length: Math.min(50, Number(count) - index) }, open));
}
latenciesMs.length = 0;
await delay(Number(seconds) * 1_000);
const sorted = latenciesMs.toSorted((a, b) => a - b);
const at = (share: number): number => sorted[Math.floor(sorted.length * share)] ?? Number.NaN;
console.log(JSON.stringify({ opened, events: sorted.length, p50Ms: at(0.5), p99Ms: at(0.99) }));
process.stdin.on('end', () => process.exit(0)).resume();
