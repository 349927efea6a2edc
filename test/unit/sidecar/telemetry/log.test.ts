import { expect, test } from 'vitest';
import { createLog, errorFields, rateLimited } from '#sidecar/telemetry/log.ts';

test('writes one JSON object a line', () => {
  const lines: string[] = [];
  const log = createLog(
    (line) => lines.push(line),
    () => new Date(0),
  );
  log('warn', 'something', { port: 1, error: 'a\nb' });
  expect(lines).toEqual([
    '{"time":"1970-01-01T00:00:00.000Z","level":"warn","msg":"something","port":1,"error":"a\\nb"}\n',
  ]);
});

test('says the same thing once in a while, and how often it did not', () => {
  const time = { ms: 0 };
  const said: unknown[] = [];
  const log = rateLimited(
    (_level, message, fields) => said.push([message, fields]),
    1_000,
    () => time.ms,
  );
  for (time.ms = 0; time.ms <= 1_000; time.ms += 100) log('warn', 'again');
  log('warn', 'other');
  expect(said).toEqual([
    ['again', {}],
    ['again', { repeated: 9 }],
    ['other', {}],
  ]);
});

test('takes no more of an error than its words', () => {
  const error = Object.assign(new Error('failed', { cause: new TypeError('why') }), { credential: 'secret' });
  expect(errorFields(error)).toEqual({ error: 'Error: failed', cause: 'TypeError: why' });
  expect(errorFields('secret')).toEqual({ error: 'string' });
});
