/** A broker that keeps to the contract over real HTTPS and does what a test tells it. */
import { createServer, type Server } from 'node:https';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Socket } from 'node:net';
import type { RequestEvent } from '#contract/audit.ts';
import type { KeyOutcome } from '#contract/outcome.ts';
import type { LeaseRequest, LeaseResponse } from '#contract/lease.ts';
import { parseQuotaRequest } from '#contract/parse-quota.ts';
import { parseAuditBatch, parseLeaseRequest, parseOutcomeReport } from '#contract/parse-requests.ts';
import { contractVersionHeader } from '#contract/version.ts';
import type { PolicySnapshot, WatchMessage } from '#contract/watch.ts';
import { makeTestCertificate, type TestCertificate } from '#test/support/test-certificates.ts';

export const serverRef = { namespace: 'team-a', name: 'notes' };
export const podToken = 'pod-token-1';

export const policy: PolicySnapshot = {
  server: serverRef,
  title: 'Notes',
  headers: [{ name: 'X-Api-Key', title: 'Notes API key', helpURL: 'https://notes.example/keys', required: true }],
};

export function subject(id: string) {
  return { issuer: 'https://issuer.example', id, name: `${id}@example.com` };
}

export function granted(id: string, key: string, more: { ttlMs?: number; header?: string } = {}): LeaseResponse {
  return {
    decision: 'granted',
    leaseId: `lease-${id}`,
    subject: subject(id),
    subjectKey: `subject-${id}`,
    headers: [{ name: more.header ?? 'X-Api-Key', value: key }],
    keyVersion: 3,
    ttlMs: more.ttlMs ?? 30_000,
  };
}

export function missing(id: string): LeaseResponse {
  return {
    decision: 'missing',
    subject: subject(id),
    subjectKey: `subject-${id}`,
    hints: policy.headers.map(({ name, title, helpURL }) => ({ name, title: title!, helpURL: helpURL! })),
    message: 'Set it with: kubectl mcpkeys set notes -n team-a',
    ttlMs: 30_000,
  };
}

type LeaseRule = LeaseResponse | ((request: LeaseRequest) => LeaseResponse | Promise<LeaseResponse>);

export class BrokerDouble {
  readonly #certificate: TestCertificate;
  readonly #rules = new Map<string, LeaseRule>();
  /** With the server that each is for. */
  readonly #watchers = new Map<ServerResponse, string>();
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;
  #heartbeat: NodeJS.Timeout | undefined;
  #revision = 0;
  #epoch = 1;
  port = 0;
  readonly leaseRequests: LeaseRequest[] = [];
  readonly events = new Map<string, RequestEvent>();
  /** Ids in order of arrival, repeated ones as well. */
  readonly receivedIds: string[] = [];
  readonly tokens = new Set<string>();
  readonly watchPaths: string[] = [];
  readonly outcomes: KeyOutcome[] = [];
  policy = policy;
  /** Policies of further servers, by `namespace/name`; one that is in neither does not exist. */
  readonly others = new Map<string, PolicySnapshot>();
  acceptedToken = podToken;
  /** Answers audit batches with this instead of keeping them. */
  auditStatus = 200;
  heartbeats = true;

  private constructor(certificate: TestCertificate) {
    this.#certificate = certificate;
  }

  static async start(): Promise<BrokerDouble> {
    const broker = new BrokerDouble(await makeTestCertificate(['localhost', '127.0.0.1']));
    await broker.listen();
    return broker;
  }

  get ca(): string {
    return this.#certificate.ca;
  }

  get url(): string {
    return `https://localhost:${this.port}`;
  }

  get watching(): number {
    return this.#watchers.size;
  }

  setLease(credential: string, rule: LeaseRule): void {
    this.#rules.set(credential, rule);
  }

  invalidate(subjectKey: string): void {
    this.#revision += 1;
    this.#send({ kind: 'invalidate', revision: this.#revisionText(), subjectKey });
  }

  publish(next: PolicySnapshot): void {
    const key = keyOf(next.server);
    if (key === keyOf(serverRef)) this.policy = next;
    else this.others.set(key, next);
    this.#revision += 1;
    this.#send({ kind: 'snapshot', revision: this.#revisionText(), policy: next }, key);
  }

  /** Listens on the port it had; a broker that comes back is another process, so revisions begin anew. */
  async listen(): Promise<void> {
    const { cert, key } = this.#certificate;
    const server = createServer(
      { cert, key, minVersion: 'TLSv1.3' },
      (request, response) => void this.#answer(request, response),
    );
    server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    });
    server.on('tlsClientError', () => {});
    await new Promise<void>((resolve) => server.listen(this.port, '127.0.0.1', resolve));
    this.port = (server.address() as AddressInfo).port;
    this.#server = server;
    this.#epoch += 1;
    this.#heartbeat = setInterval(() => {
      if (this.heartbeats) this.#send({ kind: 'heartbeat', revision: this.#revisionText() });
    }, 1_000);
  }

  /** As when the process is killed: every connection is reset, nothing listens. */
  async kill(): Promise<void> {
    clearInterval(this.#heartbeat);
    for (const socket of this.#sockets) socket.resetAndDestroy();
    this.#watchers.clear();
    await new Promise<void>((resolve) => this.#server?.close(() => resolve()) ?? resolve());
  }

  /** Ends the watch streams; lease calls go on. */
  cutWatches(): void {
    for (const watcher of this.#watchers.keys()) watcher.destroy();
    this.#watchers.clear();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }

  #revisionText(): string {
    return `${this.#epoch}-${this.#revision}`;
  }

  #send(message: WatchMessage, only?: string): void {
    for (const [watcher, key] of this.#watchers) {
      if (only === undefined || only === key) watcher.write(`${JSON.stringify(message)}\n`);
    }
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const token = request.headers.authorization?.replace('Bearer ', '') ?? '';
    this.tokens.add(token);
    if (token !== this.acceptedToken || request.headers[contractVersionHeader] !== '1') {
      response.writeHead(401).end();
      return;
    }
    const path = new URL(request.url ?? '/', 'https://localhost').pathname;
    const text = Buffer.concat(chunks).toString();
    if (path === '/v1/watch') this.#watch(request, response);
    else if (path === '/v1/leases') await this.#lease(text, response);
    else if (path === '/v1/audit') this.#audit(text, response);
    else if (path === '/v1/outcomes') this.#outcomes(text, response);
    else if (path === '/v1/quota') this.#quota(text, response);
    else response.writeHead(404).end();
  }

  #watch(request: IncomingMessage, response: ServerResponse): void {
    this.watchPaths.push(request.url ?? '');
    const { searchParams } = new URL(request.url ?? '/', 'https://localhost');
    const key = `${searchParams.get('namespace')}/${searchParams.get('name')}`;
    const found = key === keyOf(serverRef) ? this.policy : this.others.get(key);
    if (found === undefined) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, { 'content-type': 'application/x-ndjson' });
    this.#watchers.set(response, key);
    response.on('close', () => this.#watchers.delete(response));
    response.write(`${JSON.stringify({ kind: 'snapshot', revision: this.#revisionText(), policy: found })}\n`);
  }

  async #lease(text: string, response: ServerResponse): Promise<void> {
    const request = parseLeaseRequest(JSON.parse(text));
    this.leaseRequests.push(request);
    const rule = this.#rules.get(request.credential);
    const lease: LeaseResponse =
      rule === undefined
        ? {
            decision: 'unauthenticated',
            reason: 'SignatureInvalid',
            message: 'The token is not signed by a trusted issuer.',
          }
        : typeof rule === 'function'
          ? await rule(request)
          : rule;
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(lease));
  }

  #outcomes(text: string, response: ServerResponse): void {
    const { outcomes } = parseOutcomeReport(JSON.parse(text));
    this.outcomes.push(...outcomes);
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ received: outcomes.length }));
  }

  /** Grants whatever is asked for. */
  #quota(text: string, response: ServerResponse): void {
    const { buckets } = parseQuotaRequest(JSON.parse(text));
    const blocks = buckets.map(({ bucket, wanted }) => ({ bucket, granted: wanted, validMs: 60_000 }));
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ kind: 'granted', blocks }));
  }

  #audit(text: string, response: ServerResponse): void {
    if (this.auditStatus !== 200) {
      response.writeHead(this.auditStatus).end();
      return;
    }
    const events = parseAuditBatch(JSON.parse(text));
    for (const event of events) {
      this.receivedIds.push(event.id);
      this.events.set(event.id, event);
    }
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ accepted: events.length }));
  }
}

function keyOf({ namespace, name }: PolicySnapshot['server']): string {
  return `${namespace}/${name}`;
}
