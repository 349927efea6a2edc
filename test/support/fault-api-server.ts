import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';

import type { ConnectionSource } from '#operator/kube/connection.ts';
import { apiVersionOf, type KubeObject, type ResourceType } from '#operator/kube/resource.ts';

import {
  bodyOf,
  collectionOf,
  FakeObjectStore,
  type HistoryEntry,
  type JsonObject,
  type Place,
  RefusedWrite,
  type StoredObject,
} from './fake-object-store.ts';

/**
 * A small API server inside the test process that misbehaves on command. It is for the faults that a real one cannot be made to
 * show, and for unit tests of code that talks to the API server; what a real one can show is proven on a real one.
 */

export type Verb = 'list' | 'watch' | 'get' | 'create' | 'apply' | 'patch' | 'update' | 'delete';

export type Effect =
  /** Answers with a Status. */
  | { readonly kind: 'status'; readonly status: number; readonly reason?: string; readonly retryAfterSeconds?: number }
  /** Takes the request and never answers. */
  | { readonly kind: 'hang' }
  /** Breaks the connection without an answer. */
  | { readonly kind: 'reset' }
  /** Answers correctly, later. */
  | { readonly kind: 'delay'; readonly ms: number }
  /** Answers 200 with this text. */
  | { readonly kind: 'garbage'; readonly text: string }
  /** Watch: sends the headers and then nothing, not even what happens. */
  | { readonly kind: 'silent' }
  /** Watch: an ERROR event with 410. */
  | { readonly kind: 'expired' }
  /** Watch: ends after so many events, cleanly or inside of the next line. */
  | { readonly kind: 'cut'; readonly afterEvents: number; readonly midLine: boolean }
  /** Watch: sends each event twice. */
  | { readonly kind: 'duplicate' }
  /** Watch: sends the previous event of an object again after a newer one. */
  | { readonly kind: 'stale' }
  /** Watch: holds each event back until the next one and sends that first. */
  | { readonly kind: 'swap' };

export interface Fault {
  readonly verb?: Verb;
  readonly plural?: string;
  /** Further condition. */
  readonly when?: (request: SeenRequest) => boolean;
  /** How many requests it hits; default: one. */
  readonly times?: number;
  readonly effect: Effect;
}

export interface SeenRequest {
  readonly verb: Verb;
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly plural: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: JsonObject | undefined;
}

/** Answers a review: gets the object that was posted, returns its status. */
export type Reviewer = (review: JsonObject) => JsonObject;

interface OpenWatch {
  readonly target: Target;
  readonly response: ServerResponse;
  readonly effect: Effect | undefined;
  sent: number;
  held: string | undefined;
  readonly lastLine: Map<string, string>;
}

interface Target {
  readonly collection: string;
  readonly namespace: string | undefined;
  readonly name: string | undefined;
  readonly subresource: string | undefined;
  readonly labelSelector: string | null;
  readonly fieldSelector: string | null;
  readonly metadataOnly: boolean;
}

export class FaultApiServer implements AsyncDisposable {
  readonly #http: Server;
  readonly #types: ReadonlyMap<string, ResourceType>;
  readonly #store: FakeObjectStore;
  readonly #sockets = new Set<Socket>();
  readonly #watches = new Set<OpenWatch>();
  readonly #reviewers = new Map<string, Reviewer>();
  #faults: { fault: Fault; left: number }[] = [];
  /** Every request so far, in order of arrival. */
  readonly requests: SeenRequest[] = [];
  /** Sockets that were ever opened. */
  socketsOpened = 0;
  /** Bearer tokens that are accepted; absent: anybody. */
  acceptedTokens: ReadonlySet<string> | undefined;

  private constructor(types: readonly ResourceType[]) {
    this.#types = new Map(types.map((type) => [collectionOf(type), type]));
    this.#store = new FakeObjectStore((entry) => this.#publish(entry));
    this.#http = createServer({ keepAliveTimeout: 60_000 }, (request, response) => void this.#serve(request, response));
    this.#http.on('connection', (socket) => {
      this.socketsOpened += 1;
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    });
  }

  /** Serves these types on a free port of 127.0.0.1. */
  static async start(types: readonly ResourceType[]): Promise<FaultApiServer> {
    const server = new FaultApiServer(types);
    await new Promise<void>((resolve) => server.#http.listen(0, '127.0.0.1', resolve));
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#http.address() as AddressInfo).port}`;
  }

  /** For `createTransport`. */
  get source(): ConnectionSource {
    return () => Promise.resolve({ server: this.url, token: 'test-token' });
  }

  get socketsOpen(): number {
    return this.#sockets.size;
  }

  get watchesOpen(): number {
    return this.#watches.size;
  }

  get resourceVersion(): string {
    return String(this.#store.version);
  }

  /** Creates or replaces, as somebody else would. */
  put<T extends KubeObject>(type: ResourceType<T>, object: Omit<T, 'apiVersion' | 'kind'>): T {
    const full = { ...bodyOf(object as unknown as KubeObject), apiVersion: apiVersionOf(type), kind: type.kind };
    const place = placeOf(type, object.metadata);
    const stored =
      this.#store.get(place) === undefined
        ? this.#store.create(place, full)
        : this.#store.replace(place, full, undefined);
    const status = (full as JsonObject)['status'];
    return (status === undefined ? stored : this.#store.replace(place, { status }, 'status')) as unknown as T;
  }

  /** Deletes, as somebody else would; finalizers hold it up. */
  remove(type: ResourceType, ref: { readonly namespace?: string; readonly name: string }): void {
    this.#store.remove(placeOf(type, ref));
  }

  get<T extends KubeObject>(
    type: ResourceType<T>,
    ref: { readonly namespace?: string; readonly name: string },
  ): T | undefined {
    return this.#store.get(placeOf(type, ref)) as unknown as T | undefined;
  }

  objects<T extends KubeObject>(type: ResourceType<T>): readonly T[] {
    return this.#store.list(collectionOf(type)) as unknown as readonly T[];
  }

  /** Adds a fault; earlier ones are used up first. Returns how to take it back. */
  inject(fault: Fault): () => void {
    const entry = { fault, left: fault.times ?? 1 };
    this.#faults.push(entry);
    return () => (this.#faults = this.#faults.filter((one) => one !== entry));
  }

  clearFaults(): void {
    this.#faults = [];
  }

  /** Forgets history: a watch or a continue token from before now is expired. */
  compact(): void {
    this.#store.compact();
  }

  /** Goes back to an older state, as after a restore from a backup; breaks all watches. */
  rewind(resourceVersion: number): void {
    this.#store.rewind(resourceVersion);
    this.endWatches('reset');
  }

  /** Ends all watches, cleanly, inside of a line, or by breaking the connection. */
  endWatches(how: 'clean' | 'midLine' | 'reset' = 'clean'): void {
    for (const watch of this.#watches) this.#endWatch(watch, how);
  }

  /** Sends a bookmark to all watches. */
  bookmark(): void {
    for (const watch of this.#watches) {
      if (watch.effect?.kind === 'silent') continue;
      const object = { metadata: { resourceVersion: this.resourceVersion } };
      watch.response.write(`${JSON.stringify({ type: 'BOOKMARK', object })}\n`);
    }
  }

  /** Who answers reviews of that type (tokenreviews, …). */
  answerReviews(type: ResourceType, reviewer: Reviewer): void {
    this.#reviewers.set(collectionOf(type), reviewer);
  }

  requestsOf(verb: Verb, plural?: string): readonly SeenRequest[] {
    return this.requests.filter(
      (request) => request.verb === verb && (plural === undefined || request.plural === plural),
    );
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    if (!this.#http.listening) return;
    await new Promise<void>((resolve) => this.#http.close(() => resolve()));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      await this.#answer(request, response);
    } catch (error) {
      if (error instanceof RefusedWrite)
        sendStatus(response, { status: error.status, reason: error.reason }, error.message);
      else sendStatus(response, { status: 500, reason: 'InternalError' }, String(error));
    }
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', this.url);
    const text = await readText(request);
    const target = targetOf(url, request.headers.accept ?? '');
    const body = text === '' ? undefined : (JSON.parse(text) as JsonObject);
    const seen = seenOf(request, url, { target, body });
    this.requests.push(seen);
    const token = request.headers.authorization?.replace('Bearer ', '') ?? '';
    if (this.acceptedTokens !== undefined && !this.acceptedTokens.has(token)) {
      sendStatus(response, { status: 401, reason: 'Unauthorized' }, 'Unauthorized');
      return;
    }
    const effect = this.#takeFault(seen);
    if (effect !== undefined && (await disturb(effect, request, response))) return;
    if (!this.#types.has(target.collection))
      throw new RefusedWrite(404, 'NotFound', 'the server could not find the requested resource');
    if (seen.verb === 'watch') this.#watch(target, seen, { response, effect });
    else this.#answerCall(target, seen, response);
  }

  #takeFault(seen: SeenRequest): Effect | undefined {
    const entry = this.#faults.find(({ fault, left }) => left > 0 && matches(fault, seen));
    if (entry === undefined) return undefined;
    entry.left -= 1;
    return entry.fault.effect;
  }

  #answerCall(target: Target, seen: SeenRequest, response: ServerResponse): void {
    if (seen.verb === 'list') {
      this.#list(target, seen, response);
      return;
    }
    const reviewer = this.#reviewers.get(target.collection);
    if (reviewer !== undefined && seen.body !== undefined) {
      sendJson(response, 201, { ...seen.body, status: reviewer(seen.body) });
      return;
    }
    sendJson(response, seen.verb === 'create' ? 201 : 200, this.#write(target, seen));
  }

  #write(target: Target, seen: SeenRequest): JsonObject {
    const body = seen.body ?? {};
    if (seen.verb === 'create') return this.#store.create(target, body);
    const place: Place = { collection: target.collection, namespace: target.namespace, name: target.name ?? '' };
    if (seen.verb === 'update') return this.#store.replace(place, body, target.subresource);
    if (seen.verb === 'patch') return this.#store.mergePatch(place, body, target.subresource);
    if (seen.verb === 'delete') return this.#store.remove(place, body['preconditions'] ?? {});
    if (seen.verb === 'apply') return this.#apply(place, target, seen);
    const object = this.#store.get(place);
    if (object === undefined) throw new RefusedWrite(404, 'NotFound', `${place.name} not found`);
    return shown(object, target);
  }

  #apply(place: Place, target: Target, seen: SeenRequest): JsonObject {
    const manager = seen.query.get('fieldManager') ?? '';
    const subresource = target.subresource === undefined ? {} : { subresource: target.subresource };
    return this.#store.apply(place, seen.body ?? {}, { manager, ...subresource });
  }

  #list(target: Target, seen: SeenRequest, response: ServerResponse): void {
    const token = seen.query.get('continue');
    const [version, offset] =
      token === null ? [this.#store.version, 0] : (token.split(':').map(Number) as [number, number]);
    const all = this.#store.listAt(target.collection, version);
    if (all === undefined) throw new RefusedWrite(410, 'Expired', 'the provided continue parameter is too old');
    const matching = all.filter((object) => selects(target, object));
    const limit = Number(seen.query.get('limit') ?? matching.length);
    const page = matching.slice(offset, offset + limit);
    const more = offset + limit < matching.length ? { continue: `${version}:${offset + limit}` } : {};
    sendJson(response, 200, {
      kind: target.metadataOnly ? 'PartialObjectMetadataList' : 'List',
      metadata: { resourceVersion: String(version), ...more },
      items: page.map((object) => shown(object, target)),
    });
  }

  #watch(target: Target, seen: SeenRequest, io: { response: ServerResponse; effect: Effect | undefined }): void {
    const { response, effect } = io;
    const backlog = this.#store.since(target.collection, Number(seen.query.get('resourceVersion')));
    response.writeHead(200, { 'content-type': 'application/json' });
    response.flushHeaders();
    if (backlog === undefined || effect?.kind === 'expired') {
      const object = {
        kind: 'Status',
        status: 'Failure',
        code: 410,
        reason: 'Expired',
        message: 'too old resource version',
      };
      response.end(`${JSON.stringify({ type: 'ERROR', object })}\n`);
      return;
    }
    const watch: OpenWatch = { target, response, effect, sent: 0, held: undefined, lastLine: new Map() };
    this.#watches.add(watch);
    response.on('close', () => this.#watches.delete(watch));
    for (const entry of backlog) this.#send(watch, entry);
    // Nothing more happened yet: a watch that is to be cut at once is cut here.
    if (effect?.kind === 'cut' && effect.afterEvents === 0) this.#endWatch(watch, effect.midLine ? 'midLine' : 'clean');
  }

  #publish(entry: HistoryEntry): void {
    for (const watch of this.#watches) if (watch.target.collection === entry.collection) this.#send(watch, entry);
  }

  #send(watch: OpenWatch, entry: HistoryEntry): void {
    const event = eventOf(watch.target, entry);
    if (event === undefined || watch.response.writableEnded || watch.effect?.kind === 'silent') return;
    const line = `${JSON.stringify(event)}\n`;
    for (const one of this.#linesFor(watch, line, event.object.metadata.uid)) watch.response.write(one);
    watch.sent += 1;
    const { effect } = watch;
    if (effect?.kind === 'cut' && watch.sent >= effect.afterEvents)
      this.#endWatch(watch, effect.midLine ? 'midLine' : 'clean');
  }

  #linesFor(watch: OpenWatch, line: string, uid: string): readonly string[] {
    const previous = watch.lastLine.get(uid);
    watch.lastLine.set(uid, line);
    const kind = watch.effect?.kind;
    if (kind === 'duplicate') return [line, line];
    if (kind === 'stale' && previous !== undefined) return [line, previous];
    if (kind !== 'swap') return [line];
    const held = watch.held;
    watch.held = held === undefined ? line : undefined;
    return held === undefined ? [] : [line, held];
  }

  #endWatch(watch: OpenWatch, how: 'clean' | 'midLine' | 'reset'): void {
    this.#watches.delete(watch);
    if (watch.response.writableEnded) return;
    if (how === 'reset') watch.response.destroy();
    else watch.response.end(how === 'midLine' ? '{"type":"MODIFIED","obj' : (watch.held ?? ''));
  }
}

function placeOf(type: ResourceType, ref: { readonly namespace?: string; readonly name?: string }): Place {
  return {
    collection: collectionOf(type),
    namespace: type.namespaced ? ref.namespace : undefined,
    name: ref.name ?? '',
  };
}

function matches(fault: Fault, seen: SeenRequest): boolean {
  if (fault.verb !== undefined && fault.verb !== seen.verb) return false;
  if (fault.plural !== undefined && fault.plural !== seen.plural) return false;
  return fault.when === undefined || fault.when(seen);
}

/** `true` when the effect was the whole answer. */
async function disturb(effect: Effect, request: IncomingMessage, response: ServerResponse): Promise<boolean> {
  switch (effect.kind) {
    case 'status':
      sendStatus(response, effect, `injected ${effect.status}`);
      return true;
    case 'hang':
      return true;
    case 'reset':
      request.socket.destroy();
      return true;
    case 'garbage':
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(effect.text);
      return true;
    case 'delay':
      await new Promise((resolve) => setTimeout(resolve, effect.ms));
      return false;
    case 'silent':
    case 'expired':
    case 'cut':
    case 'duplicate':
    case 'stale':
    case 'swap':
      return false;
  }
}

function targetOf(url: URL, accept: string): Target {
  const parts = url.pathname
    .split('/')
    .filter((part) => part !== '')
    .map(decodeURIComponent);
  const [group, version, rest] =
    parts[0] === 'api' ? ['', parts[1], parts.slice(2)] : [parts[1], parts[2], parts.slice(3)];
  const scoped = rest[0] === 'namespaces' && rest.length > 2;
  const [plural, name, subresource] = scoped ? rest.slice(2) : rest;
  return {
    collection: `${group}/${version}/${plural}`,
    namespace: scoped ? rest[1] : undefined,
    name,
    subresource,
    labelSelector: url.searchParams.get('labelSelector'),
    fieldSelector: url.searchParams.get('fieldSelector'),
    metadataOnly: accept.includes('PartialObjectMetadata'),
  };
}

function seenOf(
  request: IncomingMessage,
  url: URL,
  parsed: { readonly target: Target; readonly body: JsonObject | undefined },
): SeenRequest {
  const { target, body } = parsed;
  const method = request.method ?? 'GET';
  const verb = verbOf(method, {
    url,
    named: target.name !== undefined,
    contentType: request.headers['content-type'] ?? '',
  });
  const plural = target.collection.split('/')[2] ?? '';
  return { verb, method, path: url.pathname, query: url.searchParams, plural, headers: request.headers, body };
}

function verbOf(
  method: string,
  facts: { readonly url: URL; readonly named: boolean; readonly contentType: string },
): Verb {
  switch (method) {
    case 'POST':
      return 'create';
    case 'PUT':
      return 'update';
    case 'DELETE':
      return 'delete';
    case 'PATCH':
      return facts.contentType.includes('apply-patch') ? 'apply' : 'patch';
    default:
      if (facts.url.searchParams.get('watch') === 'true') return 'watch';
      return facts.named ? 'get' : 'list';
  }
}

function eventOf(target: Target, entry: HistoryEntry): { type: string; object: StoredObject } | undefined {
  const before = entry.before !== undefined && selects(target, entry.before) ? entry.before : undefined;
  const after = entry.after !== undefined && selects(target, entry.after) ? entry.after : undefined;
  if (after !== undefined) return { type: before === undefined ? 'ADDED' : 'MODIFIED', object: shown(after, target) };
  if (before === undefined) return undefined;
  // Whatever ends here carries the version at which it ended.
  const metadata = { ...before.metadata, resourceVersion: String(entry.version) };
  return { type: 'DELETED', object: shown({ ...before, metadata }, target) };
}

function selects(target: Target, object: StoredObject): boolean {
  if (target.namespace !== undefined && object.metadata.namespace !== target.namespace) return false;
  const labels = object.metadata.labels ?? {};
  const fields = { 'metadata.name': object.metadata.name, 'metadata.namespace': object.metadata.namespace ?? '' };
  return matchesSelector(target.labelSelector, labels) && matchesSelector(target.fieldSelector, fields);
}

/** Equality and existence, joined by commas. */
function matchesSelector(selector: string | null, values: Readonly<Record<string, string>>): boolean {
  if (selector === null || selector === '') return true;
  return selector.split(',').every((term) => {
    const [key = '', value] = term.split(/==?/);
    return value === undefined ? key in values : values[key] === value;
  });
}

function shown(object: StoredObject, target: Target): StoredObject {
  if (!target.metadataOnly) return object;
  return { apiVersion: 'meta.k8s.io/v1', kind: 'PartialObjectMetadata', metadata: object.metadata };
}

async function readText(request: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = [];
  for await (const piece of request as AsyncIterable<Buffer>) pieces.push(piece);
  return Buffer.concat(pieces).toString('utf8');
}

function sendJson(response: ServerResponse, status: number, body: JsonObject): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

function sendStatus(
  response: ServerResponse,
  answer: { readonly status: number; readonly reason?: string; readonly retryAfterSeconds?: number },
  message: string,
): void {
  const after = answer.retryAfterSeconds === undefined ? {} : { 'retry-after': String(answer.retryAfterSeconds) };
  response.writeHead(answer.status, { 'content-type': 'application/json', ...after });
  response.end(
    JSON.stringify({ kind: 'Status', status: 'Failure', code: answer.status, reason: answer.reason, message }),
  );
}
