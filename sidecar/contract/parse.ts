/**
 * What a sidecar receives. Input is a value out of `JSON.parse`; the caller bounds the bytes first (`leaseResponseBytesMax`,
 * `watchLineBytesMax`). Unknown fields are ignored, so that a newer broker may say more; an unknown decision, reason or kind is
 * refused, and what is refused grants nothing.
 */
import type { ClosedSet, JsonObject } from './fields.ts';
import {
  ContractError,
  ifPresent,
  present,
  readBoolean,
  readInteger,
  readList,
  readObject,
  readOneOf,
  readText,
} from './fields.ts';
import { headerValueBytesMax, isReservedHeaderName } from './headers.ts';
import { parseKeyPage, parseSecret } from './key-page.ts';
import type {
  DenyReason,
  DiscoveryKey,
  HeaderHint,
  LeasedHeader,
  LeaseResponse,
  UnauthenticatedReason,
  UserRules,
} from './lease.ts';
import { headersMax, leaseTtlMsMax, receiptCharsMax } from './lease.ts';
import { parseServerRef, parseSubject } from './parse-common.ts';
import { parseLimitRules } from './parse-quota.ts';
import type {
  AllowedSources,
  PolicySnapshot,
  RequestBounds,
  ServerUpstream,
  ToolRules,
  WatchMessage,
} from './watch.ts';
import {
  allowedHostsMax,
  allowedOriginsMax,
  allowedSourceCharsMax,
  answerMsLongest,
  bodyBytesMost,
  caBundleCharsMax,
  connectMsLongest,
  issuersMax,
  scopeCharsMax,
  scopesMax,
  toolPatternCharsMax,
  toolPatternsMax,
  toolRulesMax,
  upstreamUrlCharsMax,
} from './watch.ts';

const decisions: ClosedSet<LeaseResponse['decision']> = {
  granted: true,
  missing: true,
  invalid: true,
  expired: true,
  pendingApproval: true,
  denied: true,
  unauthenticated: true,
};

const denyReasons: ClosedSet<DenyReason> = {
  NamespaceHasNoOrganization: true,
  ServerNotFound: true,
  KeyUnreadable: true,
  AuditUnavailable: true,
};

const unauthenticatedReasons: ClosedSet<UnauthenticatedReason> = {
  CredentialMissing: true,
  CredentialMalformed: true,
  IssuerNotTrusted: true,
  TokenExpired: true,
  AudienceMismatch: true,
  SignatureInvalid: true,
  ClaimMissing: true,
  IssuerUnavailable: true,
};

const watchKinds: ClosedSet<WatchMessage['kind']> = { snapshot: true, invalidate: true, heartbeat: true };

const ttl = { min: 0, max: leaseTtlMsMax };
const sentence = { charsMin: 0, charsMax: 2_048 };
const opaqueId = { charsMax: 128 };

/** @throws ContractError */
export function parseLeaseResponse(value: unknown): LeaseResponse {
  const body = readObject(value, 'lease response');
  const decision = readOneOf(body['decision'], 'decision', decisions);
  switch (decision) {
    case 'granted':
      return parseGranted(body);
    case 'missing':
    case 'invalid':
    case 'expired':
    case 'pendingApproval':
      return present({
        decision,
        subject: parseSubject(body['subject'], 'subject'),
        subjectKey: readText(body['subjectKey'], 'subjectKey', opaqueId),
        hints: readList(body['hints'], 'hints', { itemsMax: headersMax, item: parseHint }),
        message: readText(body['message'], 'message', sentence),
        keySource: parseKeySource(body),
        discovery: ifPresent(body['discovery'], parseDiscovery),
        ttlMs: readInteger(body['ttlMs'], 'ttlMs', ttl),
        credentialMs: parseCredentialMs(body),
        userRules: parseUserRules(body),
      });
    case 'denied':
      return present({
        decision,
        subject: ifPresent(body['subject'], (subject) => parseSubject(subject, 'subject')),
        reason: readOneOf(body['reason'], 'reason', denyReasons),
        message: readText(body['message'], 'message', sentence),
        userRules: parseUserRules(body),
      });
    case 'unauthenticated':
      return {
        decision,
        reason: readOneOf(body['reason'], 'reason', unauthenticatedReasons),
        message: readText(body['message'], 'message', sentence),
      };
  }
}

const versions = { min: 0, max: Number.MAX_SAFE_INTEGER };

function parseGranted(body: JsonObject): LeaseResponse {
  const headers = parseHeaders(body);
  return present({
    decision: 'granted' as const,
    leaseId: readText(body['leaseId'], 'leaseId', opaqueId),
    subject: parseSubject(body['subject'], 'subject'),
    subjectKey: readText(body['subjectKey'], 'subjectKey', opaqueId),
    headers,
    keyVersion: readInteger(body['keyVersion'], 'keyVersion', versions),
    revokedUpTo: ifPresent(body['revokedUpTo'], (found) => readInteger(found, 'revokedUpTo', versions)),
    keySource: parseKeySource(body),
    ttlMs: readInteger(body['ttlMs'], 'ttlMs', ttl),
    credentialMs: parseCredentialMs(body),
    userRules: parseUserRules(body),
    receipt: ifPresent(body['receipt'], (found) => readText(found, 'receipt', { charsMax: receiptCharsMax })),
    probe: body['probe'] === true ? (true as const) : undefined,
  });
}

function parseHeaders(body: JsonObject): readonly LeasedHeader[] {
  const headers = readList(body['headers'], 'headers', { itemsMax: headersMax, item: parseLeasedHeader });
  const names = new Set(headers.map((header) => header.name.toLowerCase()));
  if (names.size !== headers.length) throw new ContractError('headers', 'each name once');
  return headers;
}

function parseDiscovery(value: unknown): DiscoveryKey {
  const key = readObject(value, 'discovery');
  return {
    leaseId: readText(key['leaseId'], 'discovery.leaseId', opaqueId),
    keyVersion: readInteger(key['keyVersion'], 'discovery.keyVersion', { min: 0, max: Number.MAX_SAFE_INTEGER }),
    headers: parseHeaders(key),
  };
}

function parseKeySource({ keySource }: JsonObject): 'shared' | undefined {
  return ifPresent(keySource, (found) => readOneOf(found, 'keySource', { shared: true }));
}

function parseCredentialMs({ credentialMs }: JsonObject): number | undefined {
  return ifPresent(credentialMs, (found) =>
    readInteger(found, 'credentialMs', { min: 0, max: Number.MAX_SAFE_INTEGER }),
  );
}

function parseUserRules({ userRules }: JsonObject): UserRules | undefined {
  return ifPresent(userRules, (found) => {
    const rules = readObject(found, 'userRules');
    return present({
      tools: parseToolRulesList(rules['tools'], 'userRules.tools'),
      limits: ifPresent(rules['limits'], (limits) => parseLimitRules(limits, 'userRules.limits')),
    });
  });
}

function parseToolRulesList(value: unknown, path: string): readonly ToolRules[] | undefined {
  return ifPresent(value, (found) => readList(found, path, { itemsMax: toolRulesMax, item: parseToolRules }));
}

/** RFC 9110 token. */
const fieldName = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

/** Visible ASCII with spaces and tabs inside: a CR or LF would let a key write further headers. */
const fieldValue = /^[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?$/;

function parseHeaderName(value: unknown, path: string): string {
  const name = readText(value, path, { charsMax: 256, pattern: fieldName, expected: 'a header name' });
  if (isReservedHeaderName(name)) throw new ContractError(path, 'a header name that is not reserved');
  return name;
}

function parseLeasedHeader(value: unknown, path: string): LeasedHeader {
  const header = readObject(value, path);
  const fieldText = readText(header['value'], `${path}.value`, {
    charsMax: headerValueBytesMax,
    pattern: fieldValue,
    expected: `a header value of at most ${headerValueBytesMax} bytes`,
  });
  return present({
    name: parseHeaderName(header['name'], `${path}.name`),
    value: fieldText,
    key: ifPresent(header['key'], (key) => parseKeyRange(key, `${path}.key`, fieldText.length)),
  });
}

function parseKeyRange(value: unknown, path: string, lengthMax: number): NonNullable<LeasedHeader['key']> {
  const range = readObject(value, path);
  const start = readInteger(range['start'], `${path}.start`, { min: 0, max: lengthMax - 1 });
  return { start, end: readInteger(range['end'], `${path}.end`, { min: start + 1, max: lengthMax }) };
}

function parseHint(value: unknown, path: string): HeaderHint {
  const hint = readObject(value, path);
  const text = (field: string): string | undefined =>
    ifPresent(hint[field], (found) => readText(found, `${path}.${field}`, sentence));
  return present({
    name: parseHeaderName(hint['name'], `${path}.name`),
    title: text('title'),
    help: text('help'),
    helpURL: text('helpURL'),
  });
}

/** @throws ContractError */
export function parseWatchMessage(value: unknown): WatchMessage {
  const message = readObject(value, 'watch message');
  const kind = readOneOf(message['kind'], 'kind', watchKinds);
  const revision = readText(message['revision'], 'revision', { charsMax: 256 });
  switch (kind) {
    case 'snapshot':
      return { kind, revision, policy: parsePolicySnapshot(message['policy']) };
    case 'invalidate':
      return { kind, revision, subjectKey: readText(message['subjectKey'], 'subjectKey', opaqueId) };
    case 'heartbeat':
      return { kind, revision };
  }
}

function parsePolicySnapshot(value: unknown): PolicySnapshot {
  const policy = readObject(value, 'policy');
  return present({
    server: parseServerRef(policy['server'], 'policy.server'),
    title: readText(policy['title'], 'policy.title', sentence),
    transport: ifPresent(policy['transport'], (found) => readOneOf(found, 'policy.transport', { SSE: true })),
    headers: readList(policy['headers'], 'policy.headers', {
      itemsMax: headersMax,
      item: (header, path) => ({
        ...parseHint(header, path),
        required: readBoolean(readObject(header, path)['required'], `${path}.required`),
      }),
    }),
    tools: parseToolRulesList(policy['tools'], 'policy.tools'),
    limits: ifPresent(policy['limits'], (limits) => parseLimitRules(limits, 'policy.limits')),
    bounds: ifPresent(policy['bounds'], parseBounds),
    allow: ifPresent(policy['allow'], parseAllowedSources),
    keyPage: ifPresent(policy['keyPage'], (found) => parseKeyPage(found, 'policy.keyPage')),
    sessionKey: ifPresent(policy['sessionKey'], (found) => parseSecret(found, 'policy.sessionKey')),
    issuers: ifPresent(policy['issuers'], (issuers) =>
      readList(issuers, 'policy.issuers', { itemsMax: issuersMax, item: parseHttpsUrl }),
    ),
    scopes: ifPresent(policy['scopes'], (scopes) =>
      readList(scopes, 'policy.scopes', { itemsMax: scopesMax, item: parseScope }),
    ),
    upstream: ifPresent(policy['upstream'], parseUpstream),
  });
}

function parseBounds(value: unknown): RequestBounds {
  const path = 'policy.bounds';
  const bounds = readObject(value, path);
  const bound = (field: keyof RequestBounds, max: number): number | undefined =>
    ifPresent(bounds[field], (found) => readInteger(found, `${path}.${field}`, { min: 1, max }));
  return present({
    connectMsMax: bound('connectMsMax', connectMsLongest),
    answerMsMax: bound('answerMsMax', answerMsLongest),
    bodyBytesMax: bound('bodyBytesMax', bodyBytesMost),
  });
}

function parseAllowedSources(value: unknown): AllowedSources {
  const path = 'policy.allow';
  const sources = readObject(value, path);
  const texts = (field: keyof AllowedSources, itemsMax: number): readonly string[] | undefined =>
    ifPresent(sources[field], (found) =>
      readList(found, `${path}.${field}`, {
        itemsMax,
        item: (text, at) => readText(text, at, { charsMax: allowedSourceCharsMax, pattern: /^[!-~]+$/ }),
      }),
    );
  return present({ hosts: texts('hosts', allowedHostsMax), origins: texts('origins', allowedOriginsMax) });
}

function parseToolRules(value: unknown, path: string): ToolRules {
  const rules = readObject(value, path);
  const patterns = (field: string): readonly string[] | undefined =>
    ifPresent(rules[field], (found) =>
      readList(found, `${path}.${field}`, {
        itemsMax: toolPatternsMax,
        item: (pattern, at) => readText(pattern, at, { charsMax: toolPatternCharsMax }),
      }),
    );
  return present({ allow: patterns('allow'), deny: patterns('deny') });
}

const upstreamKinds: ClosedSet<ServerUpstream['kind']> = { remote: true, cluster: true };

function parseUpstream(value: unknown): ServerUpstream {
  const path = 'policy.upstream';
  const upstream = readObject(value, path);
  const kind = readOneOf(upstream['kind'], `${path}.kind`, upstreamKinds);
  switch (kind) {
    case 'remote':
      return present({
        kind,
        url: parseHttpsUrl(upstream['url'], `${path}.url`),
        ca: ifPresent(upstream['ca'], (ca) => readText(ca, `${path}.ca`, { charsMax: caBundleCharsMax })),
        allowPrivateAddresses: readBoolean(upstream['allowPrivateAddresses'], `${path}.allowPrivateAddresses`),
      });
    case 'cluster':
      return {
        kind,
        url: readText(upstream['url'], `${path}.url`, {
          charsMax: upstreamUrlCharsMax,
          pattern: /^http:\/\/[a-z0-9][-a-z0-9.]*(?::\d{1,5})?\/[^\s?#]*$/,
          expected: 'the http URL of a Service',
        }),
      };
  }
}

/** RFC 6749, 3.3. */
function parseScope(value: unknown, path: string): string {
  const pattern = /^[\x21\x23-\x5b\x5d-\x7e]+$/;
  return readText(value, path, { charsMax: scopeCharsMax, pattern, expected: 'a scope' });
}

/** Neither user nor fragment. */
function parseHttpsUrl(value: unknown, path: string): string {
  return readText(value, path, {
    charsMax: upstreamUrlCharsMax,
    pattern: /^https:\/\/[^\s/?#@]+(?:[/?][^\s#]*)?$/,
    expected: 'an https URL',
  });
}
