import { parseArgs } from 'node:util';

import { assumedClientsMax, keyPageUrlCharsMax, keyPageUrlForm } from '#contract/key-page.ts';

import { auditLimits } from './audit/audit-limits.ts';
import { type KeyPageTemplate, keyPageUrlOf, unknownPlaceholders } from './policy/key-page.ts';

/** Parts that big installations run apart; each may run in several replicas. */
export const targets = ['controllers', 'admission', 'broker'] as const;
export type Target = (typeof targets)[number];

export const logLevels = ['debug', 'info', 'warn', 'error'] as const;
export type LogLevel = (typeof logLevels)[number];

/** Everything that the command line says. */
export interface OperatorOptions {
  readonly targets: ReadonlySet<Target>;
  /** Where the operator itself runs. */
  readonly namespace: string;
  /** Where sealed keys are. */
  readonly keyNamespace: string;
  readonly clusterDomain: string;
  /** Where admission does not look. Whatever organizations select, nobody is served there. */
  readonly excludedNamespaces: ReadonlySet<string>;
  /** Path; absent: the credentials of the pod. */
  readonly kubeconfig?: string;
  readonly auditDir: string;
  /** At this size the audit log is full, and no key is handed out. Below what the volume holds: a full one may lose the log. */
  readonly auditBytesMax: number;
  /** Absent: users are told in words what to do, and no link is offered. */
  readonly keyPage?: KeyPageOptions;
  /** Scheme and host under which clients reach the gateway; absent: there is none, and no remote server is served. */
  readonly gatewayUrl?: string;
  /** Absent: limits are counted in the cluster. */
  readonly limitsRedis?: LimitsRedisOptions;
  readonly logLevel: LogLevel;
  readonly bindAddress: string;
  readonly brokerPort: number;
  readonly webhookPort: number;
  readonly healthPort: number;
  readonly metricsPort: number;
  /** Names this replica in lease and events. */
  readonly podName: string;
}

export interface LimitsRedisOptions {
  readonly url: string;
  /** Folder with the files `password` and, for a CA of your own, `ca.crt`. */
  readonly credentialsDir?: string;
}

export interface KeyPageOptions {
  readonly template: KeyPageTemplate;
  /** Clients that open URLs for their users although they do not say so. */
  readonly assumedClients: readonly string[];
}

export type ParsedOptions =
  | { readonly kind: 'options'; readonly options: OperatorOptions }
  | { readonly kind: 'help'; readonly text: string }
  /** All of them at once, one sentence each. */
  | { readonly kind: 'problems'; readonly problems: readonly string[] };

interface Flag {
  readonly default?: string;
  readonly help: string;
}

const flags = {
  targets: { default: targets.join(','), help: `what to run, separated by commas: ${targets.join(', ')}` },
  namespace: { default: 'mcp-keyring', help: 'namespace that the operator runs in' },
  'key-namespace': { default: 'mcp-keyring-keys', help: 'namespace of the sealed keys' },
  'excluded-namespaces': {
    default: 'kube-system,kube-public,kube-node-lease',
    help: 'where admission does not look, beside our own two namespaces; nobody is served there',
  },
  'cluster-domain': { default: 'cluster.local', help: "the cluster's DNS domain" },
  kubeconfig: { help: 'path of a kubeconfig, for development; without it the credentials of the pod are used' },
  'audit-dir': { default: '/var/lib/mcp-keyring/audit', help: 'folder of the audit log' },
  'audit-bytes-max': {
    default: String(auditLimits.databaseBytesMax),
    help: 'size at which the audit log is full; keep it below that of the volume',
  },
  'gateway-url': {
    default: '',
    help: 'URL under which clients reach the gateway, for example https://mcp.example.com; empty: there is no gateway',
  },
  'key-page-url': {
    help: 'URL of the page where users set their keys, with {namespace} and {server}; none given: no links are offered',
  },
  'key-page-clients': {
    default: '',
    help: 'names of MCP clients that open links although they do not say so, separated by commas',
  },
  'limits-redis-url': {
    default: '',
    help: 'Valkey or Redis that counts limits, for example rediss://cache.example.com:6379; empty: they are counted in the cluster',
  },
  'limits-redis-credentials': { default: '', help: 'folder with the files password and ca.crt for it' },
  'log-level': { default: 'info', help: logLevels.join(', ') },
  'bind-address': { default: '0.0.0.0', help: 'address that every port listens on' },
  'broker-port': { default: '8443', help: 'HTTPS for sidecars; 0 takes any free port' },
  'webhook-port': { default: '9443', help: 'HTTPS for the API server' },
  'health-port': { default: '8081', help: '/livez and /readyz' },
  'metrics-port': { default: '8080', help: '/metrics' },
  'pod-name': { default: 'mcp-keyring-operator', help: 'name of this replica' },
} as const satisfies Readonly<Record<string, Flag>>;

type FlagName = keyof typeof flags;
type FlagValues = Readonly<Partial<Record<FlagName, string>>>;

const portMax = 65_535;
const redisUrlPattern = /^rediss?:\/\/(?:[^\s:@/?#]+@)?[^\s:@/?#]+(?::\d{1,5})?(?:\/\d{1,4})?$/;
const clientNameCharsMax = 128;
/** The least holds a busy minute; the most is where one file stops being practical. */
const auditBytes = { min: 16 * 1024 ** 2, max: 1024 ** 4 } as const;
/** RFC 1123 label. */
const labelPattern = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const gatewayUrlPattern = /^https?:\/\/[a-z0-9.-]+(?::\d{1,5})?$/;
const domainPattern = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/;

/** `argv` is without node and script. Every problem is reported, so that one edit of the manifest mends them all. */
export function parseOptions(argv: readonly string[]): ParsedOptions {
  const problems: string[] = [];
  const values = readFlags(argv, problems);
  if (values === 'help') return { kind: 'help', text: usage() };
  const reader = new Reader(values, problems);
  const options: OperatorOptions = {
    targets: reader.targets(),
    namespace: reader.matching('namespace', labelPattern, 'a namespace, for example mcp-keyring'),
    keyNamespace: reader.matching('key-namespace', labelPattern, 'a namespace, for example mcp-keyring-keys'),
    excludedNamespaces: reader.excludedNamespaces(),
    clusterDomain: reader.matching('cluster-domain', domainPattern, 'a DNS domain, for example cluster.local'),
    ...(values.kubeconfig === undefined ? {} : { kubeconfig: reader.nonEmpty('kubeconfig') }),
    auditDir: reader.nonEmpty('audit-dir'),
    auditBytesMax: reader.bytes('audit-bytes-max', auditBytes),
    ...reader.keyPage(),
    ...reader.gatewayUrl(),
    ...reader.limitsRedis(),
    logLevel: reader.logLevel(),
    bindAddress: reader.nonEmpty('bind-address'),
    brokerPort: reader.port('broker-port'),
    webhookPort: reader.port('webhook-port'),
    healthPort: reader.port('health-port'),
    metricsPort: reader.port('metrics-port'),
    podName: reader.matching('pod-name', domainPattern, 'the name of a pod'),
  };
  if (options.namespace === options.keyNamespace) {
    problems.push('--namespace and --key-namespace are the same; sealed keys need a namespace of their own');
  }
  return problems.length > 0 ? { kind: 'problems', problems } : { kind: 'options', options };
}

function readFlags(argv: readonly string[], problems: string[]): FlagValues | 'help' {
  const help = { type: 'boolean', short: 'h' } as const;
  const strings = Object.fromEntries(Object.keys(flags).map((name) => [name, { type: 'string' } as const]));
  const { values, tokens } = parseArgs({
    args: [...argv],
    options: { ...strings, help },
    strict: false,
    tokens: true,
    allowPositionals: true,
  });
  if (values['help'] === true) return 'help';
  for (const token of tokens) {
    if (token.kind === 'positional') problems.push(`${token.value} is no flag; write --name=value`);
    if (token.kind === 'option' && !Object.hasOwn(flags, token.name)) problems.push(`${token.rawName} is not known`);
  }
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => [name, typeof value === 'string' ? value : '']),
  );
}

class Reader {
  readonly #values: FlagValues;
  readonly #problems: string[];

  constructor(values: FlagValues, problems: string[]) {
    this.#values = values;
    this.#problems = problems;
  }

  nonEmpty(name: FlagName): string {
    const value = this.#text(name);
    if (value === '') this.#problems.push(`--${name} has no value`);
    return value;
  }

  matching(name: FlagName, pattern: RegExp, what: string): string {
    const value = this.#text(name);
    if (!pattern.test(value)) this.#problems.push(`--${name}=${value} is not ${what}`);
    return value;
  }

  excludedNamespaces(): ReadonlySet<string> {
    const names = this.#text('excluded-namespaces')
      .split(',')
      .filter((part) => part !== '');
    for (const part of names) {
      if (!labelPattern.test(part)) this.#problems.push(`--excluded-namespaces has ${part}, which is no namespace`);
    }
    return new Set([...names, this.#text('namespace'), this.#text('key-namespace')]);
  }

  port(name: FlagName): number {
    const value = this.#text(name);
    const port = /^\d{1,5}$/.test(value) ? Number(value) : Number.NaN;
    if (!(port <= portMax)) this.#problems.push(`--${name}=${value} is not a port from 0 to ${portMax}`);
    return port;
  }

  bytes(name: FlagName, { min, max }: { readonly min: number; readonly max: number }): number {
    const value = this.#text(name);
    const bytes = /^\d{1,15}$/.test(value) ? Number(value) : Number.NaN;
    if (!(bytes >= min && bytes <= max))
      this.#problems.push(`--${name}=${value} is not a number of bytes from ${min} to ${max}`);
    return bytes;
  }

  targets(): ReadonlySet<Target> {
    const wanted = this.#text('targets').split(',');
    const unknown = wanted.filter((name) => !targets.some((target) => target === name));
    for (const name of unknown)
      this.#problems.push(`--targets has ${name || 'an empty part'}; known are ${targets.join(', ')}`);
    return new Set(targets.filter((target) => wanted.includes(target)));
  }

  gatewayUrl(): { readonly gatewayUrl?: string } {
    const url = this.#text('gateway-url').replace(/\/$/, '');
    if (url === '') return {};
    if (!gatewayUrlPattern.test(url)) {
      this.#problems.push(`--gateway-url=${url} is not a scheme and a host, for example https://mcp.example.com`);
    }
    return { gatewayUrl: url };
  }

  keyPage(): { readonly keyPage?: KeyPageOptions } {
    const template = this.#text('key-page-url');
    const assumedClients = this.#text('key-page-clients')
      .split(',')
      .map((name) => name.trim())
      .filter((name) => name !== '');
    if (assumedClients.length > assumedClientsMax || assumedClients.some((name) => name.length > clientNameCharsMax)) {
      this.#problems.push(`--key-page-clients has more than ${assumedClientsMax} names, or one that is too long`);
    }
    if (template === '') return {};
    for (const text of unknownPlaceholders(template)) {
      this.#problems.push(`--key-page-url has ${text}; known are {namespace} and {server}`);
    }
    const longest = keyPageUrlOf(template, { namespace: 'n'.repeat(63), name: 's'.repeat(46) });
    if (!keyPageUrlForm.test(longest) || longest.length > keyPageUrlCharsMax || !URL.canParse(longest)) {
      this.#problems.push(
        `--key-page-url=${template} is not an https URL, for example https://keys.example.com/{namespace}/{server}`,
      );
    }
    return { keyPage: { template, assumedClients } };
  }

  limitsRedis(): { readonly limitsRedis?: LimitsRedisOptions } {
    const url = this.#text('limits-redis-url');
    const credentialsDir = this.#text('limits-redis-credentials');
    if (url === '') return {};
    if (!redisUrlPattern.test(url) || !URL.canParse(url)) {
      // It may hold a password, where none belongs.
      this.#problems.push('--limits-redis-url is not a URL like rediss://cache.example.com:6379 without a password');
    }
    return { limitsRedis: { url, ...(credentialsDir === '' ? {} : { credentialsDir }) } };
  }

  logLevel(): LogLevel {
    const value = this.#text('log-level');
    const level = logLevels.find((known) => known === value);
    if (level === undefined) this.#problems.push(`--log-level=${value} is not one of ${logLevels.join(', ')}`);
    return level ?? 'info';
  }

  #text(name: FlagName): string {
    const flag: Flag = flags[name];
    return this.#values[name] ?? flag.default ?? '';
  }
}

function usage(): string {
  const lines = Object.entries<Flag>(flags).map(([name, { default: value, help }]) => {
    return `  --${name.padEnd(16)} ${help}${value === undefined ? '' : ` (${value})`}`;
  });
  return ['MCP Keyring operator', '', ...lines, ''].join('\n');
}
