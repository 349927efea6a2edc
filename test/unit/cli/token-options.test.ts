import { describe, expect, test } from 'vitest';

import { parseOptions } from '#cli/options.ts';

const command = (...argv: string[]) => parseOptions(argv).command;

describe('kubectl mcpkeys token', () => {
  test('create names servers, and may have an end and a title', () => {
    expect(command('token', 'create', '--server', 'a', '--server=b', '--expires', '30d', '--title', 'laptop')).toEqual({
      name: 'token-create',
      servers: ['a', 'b'],
      lifeSeconds: 2_592_000,
      title: 'laptop',
    });
    expect(command('token', 'create', '--server=a')).toMatchObject({ lifeSeconds: undefined, title: undefined });
  });

  test('list and revoke take what they need', () => {
    expect(command('token', 'list')).toEqual({ name: 'token-list' });
    expect(command('token', 'revoke', 'mkt-1')).toEqual({ name: 'token-revoke', id: 'mkt-1' });
  });

  test.each([
    [['token']],
    [['token', 'create']],
    [['token', 'create', 'a']],
    [['token', 'create', '--server=a', '--expires=forever']],
    [['token', 'create', '--server=a', '--expires=0d']],
    [['token', 'list', 'x']],
    [['token', 'revoke']],
    [['token', 'revoke', 'a', 'b']],
    [['token', 'rotate']],
  ])('says what is missing: %o', (argv) => {
    expect(() => command(...argv)).toThrow(expect.objectContaining({ code: 'Usage' }));
  });
});
