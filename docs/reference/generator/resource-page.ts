import { fieldsOf, type Definition, type Field, type Schema } from './definition.ts';
import { code, prose, table } from './markdown.ts';
import { supportOf, type Support } from './support.ts';

const intro = `# Resources

<!-- Generated from crds/*.yaml by docs/reference/generate.ts; edit those files. -->

Every kind of the group \`mcpkeyring.io\`, version \`v1alpha1\`. The API server checks types, limits and rules; a policy of the chart refuses what
this version does not serve yet with \`<field> is not supported yet\`. Short names work in kubectl: \`kubectl get mcps\`.

\`[]\` in a path stands for one entry of a list. "required" means: within its parent, when the parent is there.
`;

/** The page with a section for each kind, in the order given. */
export function resourcePage(definitions: readonly Definition[]): string {
  return [intro, ...definitions.map(section)].join('\n');
}

function section({ spec }: Definition): string {
  const { kind, shortNames = [], plural } = spec.names;
  const version = spec.versions[0];
  if (version === undefined) throw new Error(`${plural} has no version`);
  const schema = version.schema.openAPIV3Schema;
  const columns = version.additionalPrinterColumns ?? [];
  return [
    `## ${kind}`,
    '',
    prose(schema.description ?? ''),
    '',
    `${spec.scope === 'Cluster' ? 'Cluster-scoped' : 'Namespaced'}; \`kubectl get ${shortNames[0] ?? plural}\`. ${columnsText(columns)}${selectText(version.selectableFields)}`,
    '',
    ...partLines(kind, 'spec', schema),
    ...partLines(kind, 'status', schema),
    ...ruleLines(schema),
  ].join('\n');
}

function columnsText(columns: readonly { readonly name: string; readonly priority?: number }[]): string {
  const shown = columns.filter((column) => (column.priority ?? 0) === 0).map((column) => column.name);
  const wide = columns.filter((column) => (column.priority ?? 0) > 0).map((column) => column.name);
  return `Columns: ${shown.join(', ')}${wide.length === 0 ? '' : `; with \`-o wide\` also ${wide.join(', ')}`}.`;
}

function selectText(fields: readonly { readonly jsonPath: string }[] | undefined): string {
  if (fields === undefined || fields.length === 0) return '';
  return ` Field selectors: ${fields.map((field) => code(field.jsonPath.slice(1))).join(', ')}.`;
}

function partLines(kind: string, part: 'spec' | 'status', root: Schema): readonly string[] {
  const schema = root.properties?.[part];
  if (schema === undefined) return [];
  const rows = fieldsOf(schema, part).map((field) => row(kind, field));
  return [`### ${kind}.${part}`, '', table(['field', 'type', 'default', 'limits', 'meaning', 'support'], rows), ''];
}

function row(kind: string, field: Field): readonly string[] {
  const { path, schema } = field;
  return [
    code(path.replace(/^(?:spec|status)\./u, '')),
    typeText(schema),
    schema.default === undefined ? (field.required ? 'required' : '') : code(JSON.stringify(schema.default)),
    limitsText(schema),
    path.endsWith('.conditions') ? 'See [conditions](conditions.md).' : prose(schema.description ?? ''),
    supportText(supportOf(kind, path)),
  ];
}

function typeText(schema: Schema): string {
  if (schema.enum !== undefined) return schema.enum.map((value) => code(value)).join(', ');
  if (schema.type === 'array') return `list of ${itemText(schema.items ?? {})}`;
  if (schema.additionalProperties !== undefined) return `map of ${itemText(schema.additionalProperties)}`;
  return schema.format === 'date-time' ? 'time (RFC 3339)' : (schema.type ?? 'any');
}

function itemText(schema: Schema): string {
  return schema.enum === undefined ? (schema.type ?? 'any') : schema.enum.map((value) => code(value)).join(', ');
}

function limitsText(schema: Schema): string {
  const own = [
    rangeText(schema.minimum, schema.maximum, ''),
    rangeText(schema.minLength, schema.maxLength, 'characters'),
    rangeText(schema.minItems, schema.maxItems, 'entries'),
    rangeText(undefined, schema.maxProperties, 'entries'),
    schema.pattern === undefined ? '' : `matches ${code(schema.pattern)}`,
  ].filter((text) => text !== '');
  const scalar = schema.items ?? schema.additionalProperties;
  const each = scalar === undefined || scalar.type === 'object' ? '' : limitsText(scalar);
  return [...own, ...(each === '' ? [] : [`each ${each}`])].join('; ');
}

function rangeText(min: number | undefined, max: number | undefined, unit: string): string {
  const suffix = unit === '' ? '' : ` ${unit}`;
  if (min !== undefined && max !== undefined) return min === max ? `${min}${suffix}` : `${min} to ${max}${suffix}`;
  if (max !== undefined) return `at most ${max}${suffix}`;
  return min === undefined ? '' : `at least ${min}${suffix}`;
}

function supportText(state: Support | undefined): string {
  switch (state?.kind) {
    case undefined:
      return 'yes';
    case 'refused':
      return '**not supported yet**';
    case 'only':
      return `only ${state.values.map((value) => code(value)).join(', ')}; others not supported yet`;
    case 'notWritten':
      return 'not written yet';
  }
}

/** What the API server says when a rule is broken, by the field that the rule stands at. */
function ruleLines(root: Schema): readonly string[] {
  const fields = [{ path: '(object)', schema: root }, ...fieldsOf(root)];
  const rules = fields.flatMap(({ path, schema }) => [
    ...(schema['x-kubernetes-validations'] ?? []).map((rule) => ({ path, message: rule.message })),
    ...(schema.items?.['x-kubernetes-validations'] ?? []).map((rule) => ({ path: `${path}[]`, message: rule.message })),
  ]);
  if (rules.length === 0) return [];
  const lines = rules.map(({ path, message }) => `- ${code(path)}: ${prose(message)}`);
  return ['### Rules', '', ...new Set(lines), ''];
}
