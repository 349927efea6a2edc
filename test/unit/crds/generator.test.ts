import { readdirSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';

import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';

import { conditionReasons, conditionTypes } from '#crds/v1alpha1/conditions.ts';
import { chartTemplateOf } from '../../../crds/generator/chart.ts';
import type { CustomResourceDefinition, Schema } from '../../../crds/generator/schema.ts';
import { typesOf } from '../../../crds/generator/emit-types.ts';

function crdOf(spec: Schema): CustomResourceDefinition {
  const schema: Schema = { type: 'object', required: ['spec'], properties: { spec, metadata: { type: 'object' } } };
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: 'things.example.com' },
    spec: {
      group: 'example.com',
      names: { kind: 'Thing', plural: 'things' },
      versions: [{ name: 'v1', schema: { openAPIV3Schema: schema } }],
    },
  };
}

describe('typesOf', () => {
  test('makes what is required or has a default present, and the rest optional', () => {
    const text = typesOf(
      crdOf({
        type: 'object',
        required: ['a'],
        properties: { a: { type: 'string' }, b: { type: 'integer', default: 1 }, c: { type: 'boolean' } },
      }),
      'v1',
    );
    expect(text).toContain('readonly a: string;\n  readonly b: number;\n  readonly c?: boolean;');
    expect(text).toContain(
      "readonly apiVersion: 'example.com/v1';\n  readonly kind: 'Thing';\n  readonly metadata: ObjectMeta;",
    );
  });

  test('names different objects of one field name after their owner too', () => {
    const ref = (field: string): Schema => ({ type: 'object', properties: { [field]: { type: 'string' } } });
    const inside = (field: string): Schema => ({ type: 'object', properties: { ref: ref(field) } });
    const text = typesOf(crdOf({ type: 'object', properties: { one: inside('x'), two: inside('y') } }), 'v1');
    expect(text).toContain('export interface ThingRef {\n  readonly x?: string;');
    expect(text).toContain('export interface ThingTwoRef {\n  readonly y?: string;');
  });

  test('refuses a field without a type', () => {
    expect(() => typesOf(crdOf({ type: 'object', properties: { a: {} } }), 'v1')).toThrow('ThingSpec.a has no type');
  });

  test('refuses a version that does not exist', () => {
    expect(() => typesOf(crdOf({ type: 'object' }), 'v2')).toThrow('has no version v2');
  });
});

describe('chartTemplateOf', () => {
  const yaml = 'apiVersion: a\nkind: b\nmetadata:\n  name: c\nspec:\n  text: "{{ x }}"\n';

  test('keeps the definition when the chart goes, unless told otherwise', () => {
    expect(chartTemplateOf(yaml, 'c.yaml')).toContain(
      '  name: c\n  {{- if .Values.crds.keep }}\n  annotations:\n    helm.sh/resource-policy: keep\n  {{- end }}\nspec:',
    );
  });

  test('does not let Helm read what belongs to the definition', () => {
    expect(chartTemplateOf(yaml, 'c.yaml')).toContain('text: "{{ "{{" }} x }}"');
  });

  test('refuses a file that it does not understand', () => {
    expect(() => chartTemplateOf('metadata: {name: a}\n', 'c.yaml')).toThrow(
      'c.yaml does not begin its metadata with the name',
    );
  });
});

const folder = resolve(import.meta.dirname, '../../../crds');
const schemaKeys = new Set(
  [
    'type description enum default required properties additionalProperties items format pattern minimum maximum',
    'minLength maxLength minItems maxItems maxProperties x-kubernetes-preserve-unknown-fields',
    'x-kubernetes-validations x-kubernetes-list-type x-kubernetes-list-map-keys x-kubernetes-map-type',
  ].flatMap((line) => line.split(' ')),
);

interface Place {
  readonly path: string;
  readonly schema: Schema & { readonly [key: string]: unknown };
}

function places(schema: Schema, path: string): readonly Place[] {
  return [
    { path, schema: schema as Place['schema'] },
    ...Object.entries(schema.properties ?? {}).flatMap(([name, child]) => places(child, `${path}.${name}`)),
    ...(schema.items === undefined ? [] : places(schema.items, `${path}[]`)),
    ...(schema.additionalProperties === undefined ? [] : places(schema.additionalProperties, `${path}.*`)),
  ];
}

describe.each(readdirSync(folder).filter((file) => file.endsWith('.yaml')))('%s', (file) => {
  const crd = parse(readFileSync(resolve(folder, file), 'utf8')) as CustomResourceDefinition;
  const all = places(crd.spec.versions[0]?.schema.openAPIV3Schema ?? {}, '');
  const ours = all.filter(({ path }) => !['', '.apiVersion', '.kind', '.metadata'].includes(path));

  test('writes nothing that is no part of a schema', () => {
    for (const { path, schema } of all) {
      expect([path, Object.keys(schema).filter((key) => !schemaKeys.has(key))]).toEqual([path, []]);
    }
  });

  test('bounds every text, list and map', () => {
    for (const { path, schema } of ours) {
      const bounded =
        schema.type === 'string'
          ? (schema['maxLength'] ?? schema.enum ?? (schema['format'] === 'date-time' || undefined))
          : schema.type === 'array'
            ? schema['maxItems']
            : schema.additionalProperties === undefined
              ? true
              : schema['maxProperties'];
      expect([path, bounded]).not.toEqual([path, undefined]);
    }
  });

  test('says how lists merge', () => {
    const unsaid = ours.filter(
      ({ schema }) => schema.type === 'array' && schema['x-kubernetes-list-type'] === undefined,
    );
    expect(unsaid.map(({ path }) => path)).toEqual([]);
  });

  test('gives every rule a message', () => {
    for (const { path, schema } of all) {
      for (const rule of (schema['x-kubernetes-validations'] ?? []) as readonly { message?: string }[]) {
        expect([path, (rule.message ?? '').length > 20]).toEqual([path, true]);
      }
    }
  });
});

describe('conditions', () => {
  test('every type and reason has one sentence', () => {
    const sentences = [
      ...Object.values(conditionTypes),
      ...Object.values(conditionReasons).map(({ meaning }) => meaning),
    ];
    for (const sentence of sentences) expect(sentence).toMatch(/^[A-Z].*\.$/u);
  });

  test('runbook headings can be linked to', () => {
    for (const { runbook } of Object.values(conditionReasons)) expect(runbook ?? 'none').toMatch(/^[a-z]+(-[a-z]+)*$/u);
  });
});
