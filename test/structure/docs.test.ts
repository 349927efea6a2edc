import { existsSync, globSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { exitStatuses } from '#cli/errors.ts';
import { parseOptions } from '#cli/options.ts';
import { conditionReasons, conditionTypes } from '#crds/v1alpha1/conditions.ts';
import { refusalReasons, skipReasons } from '#operator/admission/inject/reasons.ts';
import { errorFacts } from '#operator/broker/errors.ts';
import { rpcCodes } from '#sidecar/mcp/answers.ts';
import { proxyErrors } from '#sidecar/proxy/errors.ts';
import { referencePages } from '../../docs/reference/generator/pages.ts';
import { support } from '../../docs/reference/generator/support.ts';
import { anchorsOf, blocksOf, brokenLinks, codeSpansOf } from './markdown.ts';
import { read, repositoryFiles, root, typescriptFiles } from './source-files.ts';

const pages = repositoryFiles().filter((file) => file.endsWith('.md'));
const metricsPage = 'docs/reference/metrics.md';
const errorsPage = 'docs/reference/errors.md';
const auditPage = 'docs/reference/audit-events.md';

/** Members of a union of string literals, which has no value to import: `export type <name> = 'a' | 'b';`. */
function union(file: string, name: string): readonly string[] {
  const [, body = ''] = new RegExp(`type ${name} =([^;]*);`, 'u').exec(read(file)) ?? [];
  return literalsIn(body);
}

/** Values of one field of an interface: `readonly <field>: 'a' | 'b';`. */
function fieldValues(file: string, field: string): readonly string[] {
  return [...read(file).matchAll(new RegExp(`readonly ${field}: ('[^;]*);`, 'gu'))].flatMap((match) =>
    literalsIn(match[1] ?? ''),
  );
}

/** Keys of a module's table `messages`, which it does not export. */
function messageCodes(file: string): readonly string[] {
  const [, body = ''] = /const messages\b[^{]*\{([\s\S]*?)^\}/mu.exec(read(file)) ?? [];
  return [...body.matchAll(/^ {2}(\w+):/gmu)].map((match) => match[1] ?? '');
}

function literalsIn(text: string): readonly string[] {
  return [...text.matchAll(/'([^']+)'/gu)].map((match) => match[1] ?? '');
}

function notOn(page: string, names: readonly string[]): readonly string[] {
  const spans = codeSpansOf(page);
  return names.filter((name) => !spans.has(name));
}

describe('links of every page', () => {
  test('lead to files and headings that exist', () => {
    const broken = pages.flatMap((page) => brokenLinks(page).map((target) => `${page}: ${target}`));
    expect(broken).toEqual([]);
  });

  test('every page of docs is reached from the README', () => {
    const seen = new Set<string>(['README.md']);
    const queue = ['README.md'];
    for (let page = queue.shift(); page !== undefined; page = queue.shift()) {
      const folder = page.includes('/') ? page.slice(0, page.lastIndexOf('/') + 1) : '';
      for (const [, target = ''] of read(page).matchAll(/\]\(([^()\s#]+)(?:#[^()\s]*)?\)/gu)) {
        const next = new URL(target, `file:///${folder}`).pathname.slice(1);
        if (!next.endsWith('.md') || seen.has(next) || !pages.includes(next)) continue;
        seen.add(next);
        queue.push(next);
      }
    }
    const decisions = pages.filter((page) => page.startsWith('docs/decisions/'));
    const lost = pages.filter((page) => page.startsWith('docs/') && !decisions.includes(page) && !seen.has(page));
    expect(lost).toEqual([]);
  });
});

describe('examples of every page', () => {
  test('name files that exist', () => {
    const inRepository = /^(?:operator|sidecar|cli|crds|charts|test|docs|build)\/[\w./-]*$/u;
    const wrong = pages.flatMap((page) =>
      [...codeSpansOf(page)]
        .filter((span) => inRepository.test(span))
        .filter((span) => !existsSync(join(root, span)) && globSync(`${span}*`, { cwd: root }).length === 0)
        .map((span) => `${page}: ${span}`),
    );
    expect(wrong).toEqual([]);
  });

  test('of YAML are YAML', () => {
    const wrong = pages.flatMap((page) =>
      blocksOf(page, 'yaml')
        .filter((block) => parseAllDocuments(block).some((document) => document.errors.length > 0))
        .map((block) => `${page}: ${block.slice(0, 60)}`),
    );
    expect(wrong).toEqual([]);
  });

  test('of the plugin are commands that it knows', () => {
    const commands = pages.flatMap((page) =>
      blocksOf(page, 'sh').flatMap((block) =>
        [...block.matchAll(/kubectl mcpkeys ([^#|<;\n]*)/gu)].map((match) => ({ page, text: (match[1] ?? '').trim() })),
      ),
    );
    expect(commands.length).toBeGreaterThan(15);
    for (const { page, text } of commands) {
      expect(() => parseOptions(text.split(/\s+/u)), `${page}: kubectl mcpkeys ${text}`).not.toThrow();
    }
  });
});

describe('the generated reference', () => {
  test('is what docs/reference/generate.ts would write', () => {
    const stale = [...referencePages(root)].filter(([path, text]) => readFileSync(path, 'utf8') !== text);
    expect(stale.map(([path]) => relative(root, path))).toEqual([]);
  });

  test('calls not supported what the chart refuses, and nothing else', () => {
    const policies = read('charts/mcp-keyring/templates/policies/unsupported.yaml');
    const kinds = { organizations: 'Organization', mcpservers: 'McpServer', userkeypolicies: 'UserKeyPolicy' };
    const refused: Record<string, string[]> = {};
    let kind = '';
    for (const line of policies.split('\n')) {
      const [, resource] = /^ *"(\w+)" \(list$/u.exec(line) ?? [];
      if (resource !== undefined) kind = kinds[resource as keyof typeof kinds];
      const [, field = ''] = /\(list "([^" ]+)/u.exec(line) ?? [];
      if (field !== '') (refused[kind] ??= []).push(`spec.${field}`);
    }
    for (const name of Object.values(kinds)) {
      expect(Object.keys(support[name] ?? {}).toSorted(), name).toEqual((refused[name] ?? []).toSorted());
    }
  });

  test('every reason that asks for action has its heading in the runbook', () => {
    const anchors = anchorsOf('docs/runbooks/conditions.md');
    const wanted = Object.values(conditionReasons).flatMap(({ runbook }) => (runbook === undefined ? [] : [runbook]));
    expect(wanted.filter((runbook) => !anchors.has(runbook))).toEqual([]);
    expect(notOn('docs/reference/conditions.md', Object.keys(conditionTypes))).toEqual([]);
  });
});

describe('docs/reference/metrics.md', () => {
  const pattern =
    /['"]((?:mcpkeyring|mcp_server|controller_runtime|workqueue|rest_client|leader_election|process)_[a-z_]+)['"]/gu;
  const defined = typescriptFiles()
    .filter((file) => /^(?:operator|sidecar)\//u.test(file))
    .flatMap((file) => [...read(file).matchAll(pattern)].map((match) => match[1] ?? ''));

  test('has every metric that the code defines', () => {
    expect(defined.length).toBeGreaterThan(30);
    expect(notOn(metricsPage, defined)).toEqual([]);
  });

  test('has no metric that the code does not define', () => {
    const rows = [...read(metricsPage).matchAll(/^\| `([a-z_]+)` \|/gmu)].map((match) => match[1] ?? '');
    expect(rows.filter((name) => !defined.includes(name))).toEqual([]);
  });
});

describe('docs/reference/errors.md', () => {
  const closedSets: Readonly<Record<string, readonly string[]>> = {
    'errors of the sidecar': Object.keys(proxyErrors),
    'JSON-RPC codes': Object.values(rpcCodes).map(String),
    'broker codes': Object.keys(errorFacts),
    'pods left alone': Object.keys(skipReasons),
    'pods refused': Object.keys(refusalReasons),
    'exit statuses': Object.keys(exitStatuses),
    'envelope codes': messageCodes('operator/envelope/errors.ts'),
    'key store codes': messageCodes('operator/keystore/errors.ts'),
    'audit codes': union('operator/audit/audit-error.ts', 'AuditErrorCode'),
    'lease errors': union('sidecar/leases/lease-error.ts', 'LeaseErrorCode'),
    'lease decisions': fieldValues('sidecar/contract/lease.ts', 'decision'),
    'reasons of denied': union('sidecar/contract/lease.ts', 'DenyReason'),
    'reasons of a 401': union('sidecar/contract/lease.ts', 'UnauthenticatedReason'),
    'pod refusals': [
      ...union('operator/identity/pod-identity.ts', 'PodRefusal'),
      ...union('operator/identity/token-review.ts', 'TokenReviewRefusal'),
    ],
    'refusal codes': union('cli/contract/responses.ts', 'RefusalCode'),
    'key problems': union('cli/contract/key-value.ts', 'KeyValueProblem'),
  };

  test.each(Object.entries(closedSets))('has all of: %s', (_, codes) => {
    expect(codes.length).toBeGreaterThan(1);
    const spans = codeSpansOf(errorsPage);
    const text = read(errorsPage);
    // JSON-RPC codes stand in a column of their own.
    expect(codes.filter((code) => !spans.has(code) && !text.includes(`\n| ${code} |`))).toEqual([]);
  });

  test('has every policy of the chart', () => {
    const policies = repositoryFiles()
      .filter((file) => file.startsWith('charts/mcp-keyring/templates/policies/'))
      .flatMap((file) => [...read(file).matchAll(/policyName: (\S+)$/gmu)].map((match) => match[1] ?? ''));
    expect(policies.length).toBeGreaterThan(4);
    expect(
      notOn(
        errorsPage,
        policies.filter((name) => !name.includes('{{')),
      ),
    ).toEqual([]);
  });
});

describe('docs/reference/audit-events.md', () => {
  test('has every type of event, and every decision of a request', () => {
    const types = fieldValues('operator/audit/audit-log.ts', 'type');
    expect(types.length).toBeGreaterThan(3);
    expect(notOn(auditPage, [...types, 'request'])).toEqual([]);
    expect(notOn(auditPage, union('sidecar/contract/audit.ts', 'RequestDecision'))).toEqual([]);
  });

  test('has every field', () => {
    const events = `${read('operator/audit/audit-log.ts')}${read('sidecar/contract/audit.ts')}`;
    const names = [...events.matchAll(/^ {2}readonly (\w+)\??:/gmu)].map((match) => match[1] ?? '');
    expect(names.length).toBeGreaterThan(15);
    expect(notOn(auditPage, names)).toEqual([]);
  });
});
