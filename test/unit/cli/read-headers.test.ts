import { Readable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import type { DeclaredHeader } from '#cli/contract/responses.ts';
import { chooseHeaders, readHeaders, type KeySource } from '#cli/read-headers.ts';

const authorization: DeclaredHeader = {
  name: 'Authorization',
  required: true,
  state: 'Missing',
  template: 'Bearer {value}',
};
const clientId: DeclaredHeader = { name: 'X-Client-ID', required: false, state: 'Missing', template: '{value}' };

function pipe(text: string): KeySource {
  return { kind: 'pipe', input: Readable.from([Buffer.from(text)]) };
}

async function read(text: string, ...headers: readonly DeclaredHeader[]): Promise<Record<string, string>> {
  const fields = await readHeaders(pipe(text), headers);
  return Object.fromEntries(fields.map(({ name, value }) => [name, Buffer.from(value).toString()]));
}

describe('keys from standard input', () => {
  test('one header: the whole input is its value', async () => {
    expect(await read('ghp_1\n', authorization)).toEqual({ Authorization: 'ghp_1\n' });
  });

  test('several headers: a line for each, in any order and letter case', async () => {
    expect(await read('x-client-id: 7\nAUTHORIZATION: ghp_1\n', authorization, clientId)).toEqual({
      'X-Client-ID': ' 7',
      Authorization: ' ghp_1',
    });
  });

  test('a value may hold colons', async () => {
    expect(await read('X-Client-ID: a:b:c', authorization, clientId)).toEqual({ 'X-Client-ID': ' a:b:c' });
  });

  test.each(['ghp_secret_without_a_name', 'X-Other: ghp_secret'])(
    'a line without a known name is refused and not shown: %s',
    async (text) => {
      await expect(readHeaders(pipe(text), [authorization, clientId])).rejects.toThrow(/Name: value/u);
      await expect(readHeaders(pipe(text), [authorization, clientId])).rejects.not.toThrow(/ghp_secret/u);
    },
  );

  test.each(['', '  \n'])('nothing is not a key: %j', async (text) => {
    await expect(readHeaders(pipe(text), [authorization])).rejects.toThrow(/Invalid API key format: it is empty/u);
  });

  test('input over the bound is refused, not cut', async () => {
    await expect(readHeaders(pipe('k'.repeat(70_000)), [authorization])).rejects.toThrow(/longer than/u);
  });
});

describe('choosing headers', () => {
  test('takes all, or those asked for in any letter case', () => {
    expect(chooseHeaders([authorization, clientId], [])).toHaveLength(2);
    expect(chooseHeaders([authorization, clientId], ['x-client-id'])).toEqual([clientId]);
  });

  test('names what there is when one is unknown', () => {
    expect(() => chooseHeaders([authorization], ['X-Nope'])).toThrow(/declares no header X-Nope/u);
  });
});
