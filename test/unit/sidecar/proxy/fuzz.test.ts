/** The whole stack against anything a client can send: what reaches the server is what was judged, in whatever way it is read. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { canonicalHeaderName, isIdentityHeaderName } from '#contract/headers.ts';
import { hostileMessages } from '#test/support/hostile-messages.ts';
import { parseStrictJson } from '#test/support/reference-json.ts';
import { bodyOf, policy, world } from './world.ts';
import { Fields } from '#sidecar/http1/fields.ts';

const tools = [{ deny: ['delete*'] }];

const piece = fc.constantFrom(
  '"',
  '\\',
  '{',
  '}',
  '[',
  ',',
  ':',
  ' ',
  '\n',
  '\0',
  '\u{feff}',
  'É',
  '\u{212a}',
  '\\u0065',
  '"name":"delete"',
  '"NAME":"delete",',
  '"method":"tools/call",',
  '"id":2,',
  '"params":{},',
  '"result":{},',
  'delete',
  'null',
  '1e400',
);
const edit = fc.record({ at: fc.nat(), cut: fc.nat({ max: 12 }), put: fc.option(piece) });

const body = fc.tuple(fc.constantFrom(...hostileMessages), fc.array(edit, { maxLength: 3 })).map(([message, edits]) =>
  edits.reduce((text, { at, cut, put }) => {
    const from = at % (text.length + 1);
    return text.slice(0, from) + (put ?? '') + text.slice(from + cut);
  }, message),
);

const headers = fc.dictionary(
  fc.constantFrom('mcp-method', 'mcp-name', 'mcp-protocol-version', 'mcp-session-id', 'last-event-id', 'mcp-param-a'),
  fc.constantFrom('', 'tools/list', 'tools/call', 'read', '=?base64?cmVhZA==?=', '2026-07-28', '2025-11-25', 'a,b'),
);

/** Every way in which a key could be found: as it is, and without regard to case. */
function readings(object: unknown, key: string): unknown[] {
  if (typeof object !== 'object' || object === null) return [];
  const folded = (text: string): string => text.toLowerCase().replaceAll('\u{17f}', 's');
  return Object.entries(object).flatMap(([name, value]) => (folded(name) === key ? [value] : []));
}

function calledTools(message: unknown): unknown[] {
  const isCall = readings(message, 'method').includes('tools/call');
  return isCall ? readings(message, 'params').flatMap((params) => readings(params, 'name')) : [];
}

test('no body that reaches the server names a denied tool, however it is read, and each has its one answer and event', async () => {
  let reached = 0;
  await fc.assert(
    fc.asyncProperty(body, headers, async (text, sent) => {
      const { send, forwarded, events, unexpected } = world({ policy: () => ({ ...policy, tools }) });
      const response = await send({ body: text, headers: sent });
      expect(unexpected).toEqual([]);
      expect(events).toHaveLength(1);
      const answer = await bodyOf(response);
      if (answer !== '') expect(JSON.parse(answer)).toMatchObject({ jsonrpc: '2.0' });
      for (const request of forwarded) {
        reached += 1;
        expect(Buffer.from(request.body ?? []).toString()).toBe(text);
        const read = parseStrictJson(request.body ?? new Uint8Array());
        expect(read.kind).toBe('value');
        const message = read.kind === 'value' ? read.value : undefined;
        expect(calledTools(message).filter((tool) => String(tool).startsWith('delete'))).toEqual([]);
        expect(events[0]?.method).toBe((message as { method?: string }).method);
      }
    }),
    { numRuns: 6_000 },
  );
  expect(reached).toBeGreaterThan(100);
}, 60_000);

const spelled = fc
  .tuple(
    fc.constantFrom(
      'x-api-key',
      'x-second',
      'authorization',
      'cookie',
      'proxy-authorization',
      'x-forwarded-user',
      'mcp-session-id',
      'transfer-encoding',
      'x-kept',
    ),
    fc.infiniteStream(fc.constantFrom('as is', 'upper', 'underscore')),
  )
  .map(([name, spelling]) => Array.from(name, (letter) => respell(letter, spelling.next().value ?? 'as is')).join(''));

function respell(letter: string, how: string): string {
  if (how === 'upper') return letter.toUpperCase();
  return how === 'underscore' && letter === '-' ? '_' : letter;
}

const secretNames = new Set(['x-second', 'authorization', 'cookie', 'proxy-authorization', 'transfer-encoding']);

test('no spelling of a header carries anything of the client where it must not, and none takes the key away', async () => {
  const value = fc.constantFrom('forged', 'x-api-key', 'X-Kept, x-api-key', 'close', 'keep-alive, X_Api_Key', '');
  await fc.assert(
    fc.asyncProperty(fc.dictionary(spelled, value), fc.option(value), async (named, connection) => {
      const { send, forwarded } = world();
      // A set of fields of one name is one field by the time it is here.
      const sent = new Fields();
      for (const [name, text] of Object.entries(named))
        if (!/^(?:authorization|mcp-session-id)$/i.test(name)) sent.append(name, text);
      if (connection !== null) sent.set('connection', connection);
      await send({ headers: Object.fromEntries(sent) });
      expect(forwarded).toHaveLength(1);
      for (const [name, text] of forwarded[0]!.headers) {
        const canonical = canonicalHeaderName(name);
        expect(secretNames.has(canonical) || isIdentityHeaderName(name), name).toBe(false);
        if (canonical === 'x-api-key') expect([name, text]).toEqual(['x-api-key', 'key-of-alice']);
      }
      expect(forwarded[0]!.headers.get('x-api-key')).toBe('key-of-alice');
      expect(forwarded[0]!.headers.has('connection')).toBe(false);
    }),
    { numRuns: 3_000 },
  );
}, 60_000);
