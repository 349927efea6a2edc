import type { ServerRef } from './contract/lease.ts';

/** Everything that can be told a proxy. All of it comes from arguments, none from the environment. */
export interface Options {
  readonly serving: Serving;
  readonly broker: string;
  readonly caFile: string;
  readonly tokenFile: string;
  readonly address: string;
  readonly ports: { readonly ingress: number; readonly health: number; readonly metrics: number };
  /** Most that an McpServer may allow. Waits are in milliseconds. */
  readonly connectMsMax: number;
  /** For the head of an answer; 0: a tool takes as long as it takes. */
  readonly answerMsMax: number;
  readonly bodyBytesMax: number;
  readonly allowedHosts: readonly string[];
  readonly allowedOrigins: readonly string[];
  readonly drainSeconds: number;
}

/** Which servers, and where they are. */
export type Serving =
  /** The one in this pod. */
  | {
      readonly mode: 'sidecar';
      readonly server: ServerRef;
      /** Scheme, host and port of the MCP server's container. */
      readonly upstream: string;
      readonly path: string;
    }
  /** Every one that the broker lets this pod serve. */
  | { readonly mode: 'gateway'; readonly externalUrl: string | undefined; readonly forwardProxy: ForwardProxyOptions }
  /** The named ones, for the other containers of this pod. */
  | { readonly mode: 'egress'; readonly servers: readonly ServerRef[]; readonly forwardProxy: ForwardProxyOptions };

/** Between a proxy and remote servers. */
export type ForwardProxyOptions = { readonly url: string; readonly credentialsFile: string | undefined } | undefined;

export type ParsedOptions =
  | { readonly kind: 'options'; readonly options: Options }
  | { readonly kind: 'help'; readonly text: string }
  /** Tell the sidecar in this container that its pod is about to end. */
  | { readonly kind: 'drain' }
  | { readonly kind: 'invalid'; readonly problems: readonly string[] };

interface Flag {
  readonly help: string;
  readonly fallback?: string;
  readonly repeatable?: true;
  /** Absent: every mode takes it. */
  readonly modes?: readonly Serving['mode'][];
}

const flags = {
  mode: { help: 'sidecar of one server, gateway to all servers, or egress of an agent to some', fallback: 'sidecar' },
  server: {
    help: '<namespace>/<name> of the McpServer in this pod; egress: of one that is served, repeatable',
    modes: ['sidecar', 'egress'],
    repeatable: true,
  },
  upstream: { help: 'http://127.0.0.1:<port> of its container', modes: ['sidecar'] },
  path: { help: 'path of the MCP endpoint, here and there', fallback: '/mcp', modes: ['sidecar'] },
  'connect-ms-max': {
    help: 'longest wait for a connection to a server, milliseconds; an McpServer can say less',
    fallback: '10000',
  },
  'answer-ms-max': {
    help: 'longest wait for the head of an answer, milliseconds; 0: as long as the client waits; an McpServer can say less',
    fallback: '0',
  },
  'external-url': {
    help: 'https://<host> that clients use; none given: what they say in Host',
    modes: ['gateway'],
  },
  'https-proxy': {
    help: 'http://<host>:<port> of the forward proxy (CONNECT) to remote servers; none given: they are reached directly',
    modes: ['gateway', 'egress'],
  },
  'https-proxy-credentials': {
    help: 'file with <user>:<password> for the forward proxy',
    modes: ['gateway', 'egress'],
  },
  broker: { help: 'https://<host>:<port> of the key broker' },
  ca: { help: 'file with the certificates that the broker is verified with' },
  token: { help: 'file with the pod token that the broker is shown' },
  address: {
    help: 'address to listen on; :: is every address of both families. For clients egress listens on 127.0.0.1 only',
    fallback: '::',
  },
  listen: { help: 'port for MCP clients', fallback: '15080' },
  health: { help: 'port of /livez and /readyz', fallback: '15081' },
  metrics: { help: 'port of /metrics', fallback: '15082' },
  'body-bytes-max': {
    help: 'largest request body that an McpServer can allow; 4194304 where it says nothing',
    fallback: '16777216',
  },
  'allow-host': {
    help: 'host name that clients may use for any server; repeatable; none given: what its McpServer allows',
    repeatable: true,
  },
  'allow-origin': {
    help: 'origin of web pages that may call, besides what an McpServer allows; repeatable',
    repeatable: true,
  },
  'drain-seconds': { help: 'longest wait for requests under way at the end', fallback: '25' },
} satisfies Record<string, Flag>;

type FlagName = keyof typeof flags;

/** Reads arguments of the form `--name=value`. Reports every problem at once. */
export function parseOptions(argv: readonly string[]): ParsedOptions {
  if (argv.includes('--help')) return { kind: 'help', text: helpText() };
  if (argv.length === 1 && argv[0] === '--drain') return { kind: 'drain' };
  const reader = new FlagReader(argv);
  const mode = reader.read('mode', readMode);
  reader.keepTo(mode);
  const options: Options = {
    serving: readServing(mode, reader),
    broker: reader.read('broker', readBroker),
    caFile: reader.read('ca', readFilePath),
    tokenFile: reader.read('token', readFilePath),
    address: reader.read('address', readAddress),
    ports: {
      ingress: reader.read('listen', readPort),
      health: reader.read('health', readPort),
      metrics: reader.read('metrics', readPort),
    },
    connectMsMax: reader.read('connect-ms-max', integerBetween(1, 600_000)),
    answerMsMax: reader.read('answer-ms-max', integerBetween(0, 86_400_000)),
    bodyBytesMax: reader.read('body-bytes-max', integerBetween(1_024, 16_777_216)),
    allowedHosts: reader.readAll('allow-host', readHost),
    allowedOrigins: reader.readAll('allow-origin', readOrigin),
    drainSeconds: reader.read('drain-seconds', integerBetween(0, 3_600)),
  };
  return reader.problems.length === 0 ? { kind: 'options', options } : { kind: 'invalid', problems: reader.problems };
}

function readServing(mode: Serving['mode'], reader: FlagReader): Serving {
  switch (mode) {
    case 'sidecar':
      return {
        mode,
        server: reader.read('server', readServerRef),
        upstream: reader.read('upstream', readUpstream),
        path: reader.read('path', readPath),
      };
    case 'gateway':
      return {
        mode,
        externalUrl: reader.readAll('external-url', readExternalUrl)[0],
        forwardProxy: readForwardProxy(reader),
      };
    case 'egress':
      return { mode, servers: reader.readSome('server', readServerRef), forwardProxy: readForwardProxy(reader) };
  }
}

function readForwardProxy(reader: FlagReader): ForwardProxyOptions {
  const [url] = reader.readAll('https-proxy', readProxyUrl);
  const [credentialsFile] = reader.readAll('https-proxy-credentials', readFilePath);
  if (url !== undefined) return { url, credentialsFile };
  if (credentialsFile !== undefined) reader.problems.push('--https-proxy-credentials needs --https-proxy');
  return undefined;
}

/** `expected` completes the sentence "--flag is …, expected …"; with it, `value` only holds a place. */
interface Reading<T> {
  readonly value: T;
  readonly expected?: string;
}

type Reader<T> = (text: string) => Reading<T>;

class FlagReader {
  readonly problems: string[] = [];
  readonly #values = new Map<FlagName, string[]>();

  constructor(argv: readonly string[]) {
    for (const argument of argv) this.#take(argument);
  }

  /** After a problem the value is not to be used; `problems` says so. */
  read<T>(name: FlagName, reader: Reader<T>): T {
    const flag: Flag = flags[name];
    const given = this.#values.get(name) ?? [];
    if (given.length > 1) this.problems.push(`--${name} is given ${given.length} times, expected once`);
    const text = given[0] ?? flag.fallback;
    if (text === undefined) this.problems.push(`--${name} is missing, expected ${flag.help}`);
    return this.#readText(name, text ?? '', { reader, report: text !== undefined });
  }

  readAll<T>(name: FlagName, reader: Reader<T>): readonly T[] {
    return (this.#values.get(name) ?? []).map((text) => this.#readText(name, text, { reader, report: true }));
  }

  /** At least one. */
  readSome<T>(name: FlagName, reader: Reader<T>): readonly T[] {
    if (!this.#values.has(name)) this.problems.push(`--${name} is missing, expected ${flags[name].help}`);
    return this.readAll(name, reader);
  }

  /** Reports what another mode would take. */
  keepTo(mode: Serving['mode']): void {
    for (const name of this.#values.keys()) {
      const { modes }: Flag = flags[name];
      if (modes?.includes(mode) === false) this.problems.push(`--${name} is not for --mode=${mode}`);
    }
  }

  #take(argument: string): void {
    const [, name, value] = /^--([a-z-]+)=(.*)$/s.exec(argument) ?? [];
    if (name === undefined || value === undefined || !isFlag(name)) {
      this.problems.push(`${argument.slice(0, 64)} is not an option, see --help`);
      return;
    }
    this.#values.set(name, [...(this.#values.get(name) ?? []), value]);
  }

  #readText<T>(name: string, text: string, how: { readonly reader: Reader<T>; readonly report: boolean }): T {
    const reading = how.reader(text);
    if (reading.expected !== undefined && how.report) {
      this.problems.push(`--${name} is ${JSON.stringify(text.slice(0, 256))}, expected ${reading.expected}`);
    }
    return reading.value;
  }
}

function isFlag(name: string): name is FlagName {
  return Object.hasOwn(flags, name);
}

function readMode(text: string): Reading<Serving['mode']> {
  switch (text) {
    case 'sidecar':
    case 'gateway':
    case 'egress':
      return { value: text };
    default:
      return { value: 'sidecar', expected: 'sidecar, gateway or egress' };
  }
}

function readServerRef(text: string): Reading<ServerRef> {
  const [, namespace, name] = /^([a-z0-9][-a-z0-9]{0,62})\/([a-z0-9][-.a-z0-9]{0,252})$/.exec(text) ?? [];
  if (namespace === undefined || name === undefined) {
    return { value: { namespace: '', name: '' }, expected: flags.server.help };
  }
  return { value: { namespace, name } };
}

function matching(pattern: RegExp, expected: string): Reader<string> {
  return (text) => (pattern.test(text) ? { value: text.replace(/(?<=.)\/$/, '') } : { value: '', expected });
}

/** Keys travel on this hop in the clear, so it must not leave the pod. */
const readUpstream = matching(/^http:\/\/(127\.0\.0\.1|localhost|\[::1\]):\d{1,5}\/?$/, flags.upstream.help);
const readBroker = matching(/^https:\/\/[^/?#@\s]+\/?$/, flags.broker.help);
const readExternalUrl = matching(
  /^https?:\/\/[a-z0-9.-]+(:\d{1,5})?\/?$/,
  'a scheme and a host, as in https://mcp.example.com',
);
/** Its credentials are secrets, so they are in no argument. */
const readProxyUrl = matching(
  /^http:\/\/(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):\d{1,5}\/?$/,
  'scheme, host and port without user and password, as in http://proxy.example.com:3128',
);
const readOrigin = matching(/^https?:\/\/[^/?#@\s]+$/, 'an origin, as in https://example.com');
const readHost = matching(/^[a-z0-9.-]+$/, 'a host name in lower case, without port');
const readFilePath = matching(/^\/./, 'an absolute path');
const readAddress = matching(/^[0-9A-Fa-f.:]+$/, 'an IP address');

function readPath(text: string): Reading<string> {
  const isPath = /^\/[A-Za-z0-9\-._~!$&'()*+,;=:@%/]*$/.test(text);
  return isPath ? { value: text } : { value: '', expected: 'a path that begins with /' };
}

const readPort = integerBetween(0, 65_535);

function integerBetween(min: number, max: number): Reader<number> {
  return (text) => {
    const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
    return value >= min && value <= max ? { value } : { value: min, expected: `an integer from ${min} to ${max}` };
  };
}

function helpText(): string {
  const lines = Object.entries<Flag>(flags).map(([name, { help, fallback, modes }]) => {
    const note = fallback === undefined ? '' : ` (${fallback})`;
    const only = modes === undefined ? '' : ` [${modes.join(', ')}]`;
    return `  --${name}=  ${help}${note}${only}`;
  });
  return [
    'The proxy of MCP Keyring: gives every request the key of the user who makes it.',
    ...lines,
    '  --drain  alone: tell the proxy of this container that its pod is about to end (the preStop hook)',
    '',
  ].join('\n');
}
