import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { meets, selectedMax } from '#operator/validation/expectation.ts';

const result = {
  content: [
    { type: 'text', text: 'Hello alice' },
    { type: 'image', data: 'x' },
  ],
  structuredContent: { login: 'alice', id: 7, admin: false, team: null, 'odd name': { "it.'s": 1 }, 'a]b': ['first'] },
};

describe('an expectation', () => {
  test.each([
    ['$', {}, true],
    ['$.content[*].text', { contains: 'alice' }, true],
    ['$.content[0].text', { equals: 'Hello alice' }, true],
    ['$.content[1].text', {}, false],
    ['$.content[2]', {}, false],
    ['$.content.0', {}, false],
    ['$.structuredContent[0]', {}, false],
    ['$.structuredContent.id', { equals: '7' }, true],
    ['$.structuredContent.admin', { equals: 'false' }, true],
    ['$.structuredContent.team', { equals: 'null' }, true],
    ['$.structuredContent.login', { matches: 'al' }, false],
    ['$.structuredContent.login', { matches: 'AL.*|al.*' }, true],
    ["$.structuredContent['odd name'].*", { equals: '1' }, true],
    ["$['structuredContent']['a]b'][0]", { equals: 'first' }, true],
    ['$.structuredContent', { contains: 'alice' }, false],
    ['$.constructor', {}, false],
    ['$.structuredContent.login.length', {}, false],
  ])('%s with %j: %s', (path, comparison, isMet) => {
    expect(meets(result, { path, ...comparison })).toBe(isMet);
  });

  test('looks at a bounded number of values, whatever it is held against', () => {
    const wide = Array.from({ length: 2_000 }, () => Array.from({ length: 100 }, () => [1]));
    const startedAtMs = performance.now();
    expect(meets(wide, { path: '$[*][*][*]', equals: 'x' })).toBe(false);
    expect(performance.now() - startedAtMs).toBeLessThan(500);
    expect(selectedMax).toBeLessThanOrEqual(1_000);
    fc.assert(
      fc.property(fc.jsonValue(), fc.constantFrom('$', '$.*', '$[*].a', "$['a'][0]"), (document, path) => {
        expect(typeof meets(document, { path })).toBe('boolean');
      }),
    );
  });
});
