import { describe, expect, test } from 'vitest';

import { SecretBytes } from '#operator/envelope/secret-bytes.ts';
import { KubeError } from '#operator/kube/errors.ts';
import type { LogFields } from '#operator/kube/observers.ts';
import { createLog } from '#operator/telemetry/log.ts';

const key = 'ghp_thisIsTheKey';

function logged(
  fields: unknown,
  options: { trustedErrors?: readonly (new (message: string) => Error)[] } = {},
): string {
  const lines: string[] = [];
  const log = createLog({ level: 'debug', destination: { write: (line) => void lines.push(line) }, ...options });
  log.error('message', fields as LogFields);
  expect(lines).toHaveLength(1);
  return lines[0]!;
}

describe('log', () => {
  test('writes one JSON object a line, with level, time, constant message and fields', () => {
    const line = logged({ resource: 'pods', delayMs: 7, ready: false, names: ['a', 'b'] });
    expect(line.endsWith('\n')).toBe(true);
    const { time, ...rest } = JSON.parse(line) as Record<string, unknown>;
    expect(time).toMatch(/^\d{4}-\d\d-\d\dT/);
    expect(rest).toEqual({
      level: 'error',
      message: 'message',
      resource: 'pods',
      delayMs: 7,
      ready: false,
      names: ['a', 'b'],
    });
  });

  test('leaves out what is below its level', () => {
    const lines: string[] = [];
    const log = createLog({ level: 'warn', destination: { write: (line) => void lines.push(line) } });
    log.debug('no');
    log.info('no');
    log.warn('yes');
    expect(lines).toHaveLength(1);
  });

  test.each<[string, unknown]>([
    ['SecretBytes', { value: SecretBytes.takeFrom(Buffer.from(key)) }],
    ['a Buffer', { value: Buffer.from(key) }],
    ['an object with a key inside', { value: { data: { token: key } } }],
    ['an array of objects', { value: [{ token: key }] }],
    ['an object that turns itself into JSON', { value: { toJSON: () => key } }],
    ['a function', { value: () => key }],
    ['an error of the language', { error: new SyntaxError(`Unexpected token in ${key}`) }],
    [
      'an error of Node with a code',
      { error: Object.assign(new TypeError(`Received '${key}'`), { code: 'ERR_INVALID_ARG_VALUE' }) },
    ],
    ['a cause', { error: new KubeError('Unavailable', 'safe', { cause: new Error(key) }) }],
    ['a property of an error', { error: Object.assign(new KubeError('Unavailable', 'safe'), { input: key }) }],
    ['an error whose message imitates stack frames', { error: new Error(`x\n    at ${key}\n    at y`) }],
  ])('never shows key bytes: %s', (_what, fields) => {
    const line = logged(fields);
    expect(line).not.toContain(key);
    expect(line).not.toContain(Buffer.from(key).toString('base64'));
    expect(line).not.toContain([...Buffer.from(key)].slice(0, 4).join(','));
  });

  test('shows messages of trusted errors, and name, code and frames of all others', () => {
    const kube = JSON.parse(logged({ error: new KubeError('Conflict', 'replace leases n/x: 409 Conflict') })) as never;
    expect(kube).toMatchObject({
      error: { name: 'KubeError', code: 'Conflict', message: 'replace leases n/x: 409 Conflict' },
    });
    class OurError extends Error {
      override readonly name = 'OurError';
    }
    const other = JSON.parse(logged({ error: new OurError('constant') })) as {
      error: { message?: string; frames: string[] };
    };
    expect(other.error.message).toBeUndefined();
    expect(other.error.frames[0]).toContain('log.test.ts');
    const trusted = JSON.parse(logged({ error: new OurError('constant') }, { trustedErrors: [OurError] })) as never;
    expect(trusted).toMatchObject({ error: { name: 'OurError', message: 'constant' } });
  });

  test('a field cannot pose as level or message, and long texts are cut', () => {
    const line = JSON.parse(logged({ level: 'fake', message: 'fake', long: 'x'.repeat(10_000) })) as Record<
      string,
      string
    >;
    expect([line['level'], line['message']]).toEqual(['error', 'message']);
    expect(line['long']).toHaveLength(2000);
  });

  test('errors that cause each other end', () => {
    const error = new Error('a');
    error.cause = error;
    expect(logged({ error }).length).toBeLessThan(20_000);
  });
});
