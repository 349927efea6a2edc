import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';

import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';

import { documentedValues, valuesTable } from '../../../charts/values-table.ts';

const charts = resolve(import.meta.dirname, '../../../charts');

interface JsonSchema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly additionalProperties?: boolean | JsonSchema;
  readonly items?: JsonSchema;
  readonly definitions?: Readonly<Record<string, JsonSchema>>;
}

function load(chart: string): { readonly yaml: string; readonly values: unknown; readonly schema: JsonSchema } {
  const yaml = readFileSync(resolve(charts, chart, 'values.yaml'), 'utf8');
  const schema = JSON.parse(readFileSync(resolve(charts, chart, 'values.schema.json'), 'utf8')) as JsonSchema;
  return { yaml, values: parse(yaml), schema };
}

function resolved(schema: JsonSchema, root: JsonSchema): JsonSchema {
  const name = schema.$ref?.replace('#/definitions/', '');
  return name === undefined ? schema : (root.definitions?.[name] ?? {});
}

/** Dotted paths that a schema lists property by property. */
function schemaPaths(schema: JsonSchema, root: JsonSchema, at = ''): readonly string[] {
  const { properties = {} } = resolved(schema, root);
  return Object.entries(properties).flatMap(([name, child]) => [
    `${at}${name}`,
    ...schemaPaths(child, root, `${at}${name}.`),
  ]);
}

describe.each(['mcp-keyring', 'mcp-keyring-crds'])('the values of %s', (chart) => {
  const { yaml, values, schema } = load(chart);
  const documented = documentedValues(yaml, values);

  test('each has a sentence above it', () => {
    expect(documented.length).toBeGreaterThan(0);
    for (const { path, comment } of documented) expect(`${path}: ${comment}`).toMatch(/: [A-Z].{15,}\.$/u);
  });

  test('each is in the schema, and the schema has no other', () => {
    const listed = schemaPaths(schema, schema).filter((path) => path !== 'global');
    for (const { path } of documented) expect(listed).toContain(path);
    const known = documented.map(({ path }) => path);
    const covered = (path: string): boolean =>
      known.some((value) => value === path || value.startsWith(`${path}.`) || path.startsWith(`${value}.`));
    expect(listed.filter((path) => !covered(path))).toEqual([]);
  });

  test('an unknown name is refused at every level that groups values', () => {
    const groups = new Set(
      documented.flatMap(({ path }) =>
        path
          .split('.')
          .slice(0, -1)
          .map((_, index, steps) => steps.slice(0, index + 1).join('.')),
      ),
    );
    for (const group of ['', ...groups]) {
      const place =
        group === ''
          ? schema
          : group.split('.').reduce((at, step) => resolved(at.properties?.[step] ?? {}, schema), schema);
      expect([group, place.additionalProperties]).toEqual([group, false]);
    }
  });
});

describe('documentedValues', () => {
  test('takes a commented key with all below it as one value', () => {
    const yaml = 'a:\n  # First\n  # line.\n  b:\n    c: 1\n    d: [x]\n  # Second.\n  e: "|"\n';
    expect(documentedValues(yaml, parse(yaml))).toEqual([
      { path: 'a.b', comment: 'First line.', default: '{"c":1,"d":["x"]}' },
      { path: 'a.e', comment: 'Second.', default: '"|"' },
    ]);
  });

  test('refuses a value without a comment', () => {
    expect(() => documentedValues('a:\n  b: 1\n', { a: { b: 1 } })).toThrow('a.b has no comment above it');
  });

  test('a table row keeps its columns when a comment has a bar', () => {
    expect(valuesTable([{ path: 'a', comment: 'x | y.', default: '1' }])).toContain('| `a` | `1` | x \\| y. |');
  });
});
