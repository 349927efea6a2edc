import type { CustomResourceDefinition, Schema } from './schema.ts';

const sharedTypes = ['Condition', 'LabelSelector', 'ObjectMeta'] as const;
type SharedType = (typeof sharedTypes)[number];

const lineCharsMax = 120;

/** Names given so far, with their text, and the shared types in use. */
interface Emission {
  readonly kind: string;
  readonly declarations: Map<string, string>;
  readonly imports: Set<SharedType>;
}

/** TypeScript of one version of a CustomResourceDefinition. Fields with a schema default are always there, so they are not optional. */
export function typesOf(crd: CustomResourceDefinition, version: string): string {
  const kind = crd.spec.names.kind;
  const schema = crd.spec.versions.find((candidate) => candidate.name === version)?.schema.openAPIV3Schema;
  if (schema === undefined) throw new Error(`${crd.metadata.name} has no version ${version}`);
  const emission: Emission = { kind, declarations: new Map(), imports: new Set(['ObjectMeta']) };
  const root = rootText(schema, { emission, apiVersion: `${crd.spec.group}/${version}` });
  const imports = [...emission.imports].sort().join(', ');
  return [
    `// Generated from crds/${crd.spec.names.plural}.yaml by crds/generate.ts; edit that file.`,
    `import type { ${imports} } from '../object.ts';\n`,
    root,
    ...[...emission.declarations.values()].map((text) => `\n${text}`),
    '',
  ].join('\n');
}

function rootText(schema: Schema, { emission, apiVersion }: { emission: Emission; apiVersion: string }): string {
  const fields = Object.entries(schema.properties ?? {})
    .filter(([name]) => name === 'spec' || name === 'status')
    .map(([name, property]) =>
      fieldText(name, property, { emission, owner: emission.kind, required: schema.required }),
    );
  return [
    docText(schema.description, ''),
    `export interface ${emission.kind} {\n`,
    `  readonly apiVersion: '${apiVersion}';\n  readonly kind: '${emission.kind}';\n  readonly metadata: ObjectMeta;\n`,
    ...fields,
    '}',
  ].join('');
}

interface FieldContext {
  readonly emission: Emission;
  /** Type that the field is in. */
  readonly owner: string;
  readonly required: readonly string[] | undefined;
}

function fieldText(name: string, schema: Schema, context: FieldContext): string {
  const present = schema.default !== undefined || context.required?.includes(name) === true;
  const type = typeText(schema, { emission: context.emission, owner: context.owner, name });
  const line = `  readonly ${name}${present ? '' : '?'}: ${type};`;
  const text = line.length <= lineCharsMax ? line : line.replaceAll(/:? (?:\| )?(?=')/g, (at) => wrapped(at));
  return `${docText(schema.description, '  ')}${text}\n`;
}

/** A union that is too long for one line, as the formatter writes it. */
function wrapped(separator: string): string {
  return `${separator.startsWith(':') ? ':' : ''}\n    | `;
}

interface TypeContext {
  readonly emission: Emission;
  readonly owner: string;
  /** Field that the type is of. */
  readonly name: string;
}

function typeText(schema: Schema, context: TypeContext): string {
  const shared = sharedTypeOf(schema, context.name);
  if (shared !== undefined) {
    context.emission.imports.add(shared);
    return shared;
  }
  if (schema.type === 'array') return arrayText(schema, context);
  if (schema.type === 'object') return objectText(schema, context);
  return scalarText(schema, context);
}

function scalarText({ type, enum: values }: Schema, { owner, name }: TypeContext): string {
  if (values !== undefined) return values.map((value) => `'${value}'`).join(' | ');
  if (type === 'integer' || type === 'number') return 'number';
  if (type === 'string' || type === 'boolean') return type;
  throw new Error(`${owner}.${name} has no type that the generator knows`);
}

function sharedTypeOf(schema: Schema, name: string): SharedType | undefined {
  if (name === 'condition') return 'Condition';
  return schema.properties?.['matchExpressions'] === undefined ? undefined : 'LabelSelector';
}

function arrayText(schema: Schema, context: TypeContext): string {
  const item = typeText(schema.items ?? {}, { ...context, name: context.name.replace(/s$/, '') });
  return `readonly ${item.includes(' | ') ? `(${item})` : item}[]`;
}

function objectText(schema: Schema, context: TypeContext): string {
  if (schema['x-kubernetes-preserve-unknown-fields'] === true) return 'Readonly<Record<string, unknown>>';
  if (schema.additionalProperties !== undefined) {
    return `Readonly<Record<string, ${typeText(schema.additionalProperties, context)}>>`;
  }
  if (Object.keys(schema.properties ?? {}).length === 0) return 'Readonly<Record<string, never>>';
  return declare(schema, context);
}

/** Names the type after the kind and the field; after its owner too when two different ones would share the name. */
function declare(schema: Schema, { emission, owner, name }: TypeContext): string {
  const short = `${emission.kind}${capitalised(name)}`;
  const shortText = declarationText(short, schema, emission);
  const known = emission.declarations.get(short);
  if (known === shortText) return short;
  const unique = known === undefined ? short : `${owner}${capitalised(name)}`;
  emission.declarations.set(unique, unique === short ? shortText : declarationText(unique, schema, emission));
  return unique;
}

function declarationText(typeName: string, schema: Schema, emission: Emission): string {
  const fields = Object.entries(schema.properties ?? {}).map(([name, property]) =>
    fieldText(name, property, { emission, owner: typeName, required: schema.required }),
  );
  return `export interface ${typeName} {\n${fields.join('')}}`;
}

function docText(description: string | undefined, indent: string): string {
  return description === undefined ? '' : `${indent}/** ${description.trim().replaceAll('*/', '* /')} */\n`;
}

function capitalised(name: string): string {
  return name.slice(0, 1).toUpperCase() + name.slice(1);
}
