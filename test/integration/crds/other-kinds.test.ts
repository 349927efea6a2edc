import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { RawApi } from '#test/integration/charts/raw-api.ts';
import { type ControlPlane, startControlPlane } from '#test/support/control-plane.ts';
import { type Case, changed } from './cases.ts';

const root = '/apis/mcpkeyring.io/v1alpha1';
const inDefault = `${root}/namespaces/default`;

const organization = {
  apiVersion: 'mcpkeyring.io/v1alpha1',
  kind: 'Organization',
  metadata: { name: 'acme' },
  spec: {
    namespaceSelector: { matchLabels: { 'mcpkeyring.io/organization': 'acme' } },
    identity: {
      issuers: [{ name: 'login', type: 'OIDC', issuerURL: 'https://login.example.com', audiences: ['mcp'] }],
    },
  },
};
const issuers = 'spec.identity.issuers';
const oidc = organization.spec.identity.issuers[0];
const kubernetes = { name: 'cluster', type: 'Kubernetes', audiences: ['mcp-keyring'] };
const selector = 'spec.namespaceSelector';

const organizationCases: readonly Case[] = [
  { what: 'both types of issuer', path: issuers, value: [oidc, kubernetes] },
  { what: 'no issuer', path: issuers, value: [], refusedWith: 'at least 1 items' },
  { what: 'an empty selector', path: selector, value: {}, refusedWith: 'would take every namespace' },
  { what: 'a selector by expression', path: selector, value: { matchExpressions: [{ key: 'a', operator: 'Exists' }] } },
  {
    what: 'In without values',
    path: selector,
    value: { matchExpressions: [{ key: 'a', operator: 'In' }] },
    refusedWith: 'In and NotIn need values',
  },
  {
    what: 'OIDC without URL',
    path: issuers,
    value: [{ ...oidc, issuerURL: undefined }],
    refusedWith: 'needs issuerURL',
  },
  { what: 'OIDC over http', path: issuers, value: [{ ...oidc, issuerURL: 'http://a.b' }], refusedWith: 'https URL' },
  {
    what: 'an issuer with query',
    path: issuers,
    value: [{ ...oidc, issuerURL: 'https://a?b' }],
    refusedWith: 'no query',
  },
  { what: 'no audience', path: issuers, value: [{ ...oidc, audiences: [] }], refusedWith: 'at least 1 items' },
  {
    what: "the sidecars' audience",
    path: issuers,
    value: [{ ...kubernetes, audiences: ['mcp-keyring-broker'] }],
    refusedWith: 'audience of sidecars',
  },
  {
    what: 'Kubernetes with URL',
    path: issuers,
    value: [{ ...kubernetes, issuerURL: 'https://a.b' }],
    refusedWith: 'remove issuerURL',
  },
  {
    what: 'Kubernetes with CA',
    path: issuers,
    value: [{ ...kubernetes, caBundleRef: { name: 'a' } }],
    refusedWith: 'remove caBundleRef',
  },
  {
    what: 'Kubernetes twice',
    path: issuers,
    value: [kubernetes, { ...kubernetes, name: 'again' }],
    refusedWith: 'only one issuer may have type Kubernetes',
  },
  {
    what: 'one issuer URL twice',
    path: issuers,
    value: [oidc, { ...oidc, name: 'again' }],
    refusedWith: 'two issuers have the same issuerURL',
  },
  {
    what: 'one name twice',
    path: issuers,
    value: [oidc, { ...kubernetes, name: 'login' }],
    refusedWith: 'Duplicate value',
  },
  { what: 'a name with blanks', path: issuers, value: [{ ...oidc, name: 'a b' }], refusedWith: 'lower-case letters' },
  { what: 'the local provider', path: 'spec.encryption', value: { provider: { local: {} } } },
  {
    what: 'two providers',
    path: 'spec.encryption',
    value: { provider: { local: {}, kmsV2: { name: 'a', socket: '/a' } } },
    refusedWith: 'exactly one of local, kmsV2 and vaultTransit',
  },
  { what: 'a duration without unit', path: 'spec.audit', value: { retention: '400' }, refusedWith: 'should match' },
  { what: 'a long name', path: 'metadata.name', value: 'a'.repeat(64), refusedWith: 'longer than 63' },
];

const policy = {
  apiVersion: 'mcpkeyring.io/v1alpha1',
  kind: 'UserKeyPolicy',
  metadata: { name: 'strict', namespace: 'default' },
  spec: { servers: { names: ['github'] }, keys: { required: ['Authorization'] } },
};

const policyCases: readonly Case[] = [
  { what: 'every server', path: 'spec.servers', value: { selector: {} } },
  { what: 'no server', path: 'spec.servers', value: {}, refusedWith: 'write either names or selector' },
  {
    what: 'names and selector',
    path: 'spec.servers',
    value: { names: ['a'], selector: {} },
    refusedWith: 'write either names or selector',
  },
  {
    what: 'some users',
    path: 'spec.subjects',
    value: { groups: ['staff'], users: ['u-1'], serviceAccounts: [{ namespace: 'team-a', name: 'agent' }] },
  },
  { what: 'users who are nobody', path: 'spec.subjects', value: {}, refusedWith: 'name a group, a user or a' },
  { what: 'no user', path: 'spec.subjects', value: { users: [] }, refusedWith: 'name a group, a user or a' },
  {
    what: 'a header required and optional',
    path: 'spec.keys.optional',
    value: ['authorization'],
    refusedWith: 'keep it in one of them',
  },
  { what: 'no header name', path: 'spec.keys.required', value: ['a b'], refusedWith: 'token of RFC 9110' },
  {
    what: 'limits of every kind',
    path: 'spec.limits',
    value: {
      timeZone: 'America/Argentina/Buenos_Aires',
      requests: [
        { per: 'Minute', max: 60, burst: 20 },
        { per: 'Day', max: 0 },
      ],
      tools: [{ match: 'create_*', per: 'Hour', max: 5 }],
      onStoreFailure: 'Closed',
    },
  },
  {
    what: 'a day with a burst',
    path: 'spec.limits',
    value: { requests: [{ per: 'Day', max: 5, burst: 2 }] },
    refusedWith: 'a day has no burst',
  },
  {
    what: 'a day of a tool with a burst',
    path: 'spec.limits',
    value: { tools: [{ match: 'a', per: 'Day', max: 5, burst: 2 }] },
    refusedWith: 'a day has no burst',
  },
  {
    what: 'a burst of none',
    path: 'spec.limits',
    value: { requests: [{ per: 'Minute', max: 5, burst: 0 }] },
    refusedWith: 'greater than or equal to 1',
  },
  ...['+01:00', 'Europe/ Berlin', 'Europe/Berlin/'].map((timeZone) => ({
    what: `the time zone ${timeZone}`,
    path: 'spec.limits',
    value: { timeZone },
    refusedWith: 'IANA time zone database',
  })),
  {
    what: 'two kinds of probe',
    path: 'spec.validation',
    value: { probe: { tool: { name: 'a' }, http: { url: 'https://a' } } },
    refusedWith: 'write either tool or http',
  },
  ...['5m', '300s', '24h', '1d'].map((schedule) => ({
    what: `the schedule ${schedule}`,
    path: 'spec.validation',
    value: { schedule },
  })),
  ...[{}, { maxAge: '1d', warnBefore: '23h' }, { warnBefore: '89d' }, { maxAge: '999999h', onExpired: 'Warn' }].map(
    (expiry) => ({ what: `the expiry ${JSON.stringify(expiry)}`, path: 'spec.expiry', value: expiry }),
  ),
  ...[{ maxAge: '1d', warnBefore: '24h' }, { warnBefore: '90d' }, { maxAge: '60s', warnBefore: '1m' }].map(
    (expiry) => ({
      what: `the expiry ${JSON.stringify(expiry)}`,
      path: 'spec.expiry',
      value: expiry,
      refusedWith: 'write a warnBefore below maxAge',
    }),
  ),
  ...['1s', '299s', '4m'].map((schedule) => ({
    what: `the schedule ${schedule}`,
    path: 'spec.validation',
    value: { schedule },
    refusedWith: 'write 5m or more',
  })),
  ...['$', '$.content[*].text', "$['a b'][0].*", '$.a_1[12]'].map((jsonPath) => ({
    what: `the path ${jsonPath}`,
    path: 'spec.validation',
    value: { probe: { tool: { name: 'whoami', expect: { path: jsonPath, matches: '(?i)a.*' } } } },
  })),
  ...['content', '$.', '$..a', '$[?@.a]', '$[1:2]', '$.a[', "$['a\\'b']", '$.a b', '$[-1]', ' $'].map((jsonPath) => ({
    what: `the path ${jsonPath}`,
    path: 'spec.validation',
    value: { probe: { tool: { name: 'whoami', expect: { path: jsonPath } } } },
    refusedWith: 'write a JSONPath of names, indexes and * only',
  })),
  {
    what: 'an expectation that is no RE2',
    path: 'spec.validation',
    value: { probe: { http: { url: 'https://a', expect: { path: '$', matches: '(?=a)' } } } },
    refusedWith: 'no RE2 expression',
  },
  {
    what: 'two expectations at once',
    path: 'spec.validation',
    value: { probe: { tool: { name: 'a', expect: { path: '$', equals: 'a', contains: 'b' } } } },
    refusedWith: 'at most one of equals, contains and matches',
  },
  ...['http://a.example/user', 'https://', 'https://a@b.example/', 'https://a.example/#b'].map((url) => ({
    what: `the probe URL ${url}`,
    path: 'spec.validation',
    value: { probe: { http: { url } } },
    refusedWith: 'write',
  })),
  {
    what: 'one limit twice',
    path: 'spec.limits',
    value: {
      requests: [
        { per: 'Day', max: 1 },
        { per: 'Day', max: 2 },
      ],
    },
    refusedWith: 'Duplicate value',
  },
];

const keyName = 'github-abcdefghijklmnop';
const userKey = {
  apiVersion: 'mcpkeyring.io/v1alpha1',
  kind: 'UserKey',
  metadata: { name: keyName, namespace: 'default' },
  spec: { serverRef: { name: 'github' }, subject: { issuer: 'https://a', id: '42', name: 'ann@example.com' } },
};

const userKeyCases: readonly Case[] = [
  {
    what: 'the name of another server',
    path: 'metadata.name',
    value: 'gitlab-abcdefghijklmnop',
    refusedWith: 'use kubectl mcpkeys',
  },
  { what: 'no base32', path: 'metadata.name', value: 'github-abcdefghijklmno1', refusedWith: 'use kubectl mcpkeys' },
  {
    what: 'a server that only begins alike',
    path: 'metadata.name',
    value: 'github-x-abcdefghijklmnop',
    refusedWith: 'use kubectl mcpkeys',
  },
];

const sealed = {
  apiVersion: 'mcpkeyring.io/v1alpha1',
  kind: 'UserKeyRequest',
  metadata: { generateName: 'ukr-', namespace: 'default' },
  spec: {
    requester: { username: 'ann', groups: ['system:authenticated'] },
    keyId: 'k1',
    enc: Buffer.alloc(32, 7).toString('base64'),
    ciphertext: Buffer.alloc(64, 7).toString('base64'),
  },
};

const requestCases: readonly Case[] = [
  { what: 'the longest ciphertext', path: 'spec.ciphertext', value: 'A'.repeat(262_144) },
  { what: 'a ciphertext beyond it', path: 'spec.ciphertext', value: 'A'.repeat(262_145), refusedWith: 'Too long' },
  {
    what: 'a ciphertext that is no base64',
    path: 'spec.ciphertext',
    value: `${'A'.repeat(30)}-_`,
    refusedWith: 'should match',
  },
  {
    what: 'an encapsulated key of 31 bytes',
    path: 'spec.enc',
    value: Buffer.alloc(31).toString('base64'),
    refusedWith: 'should match',
  },
  { what: 'no requester', path: 'spec.requester', value: undefined, refusedWith: 'Required value' },
];

const kinds = [
  { kind: 'Organization', collection: `${root}/organizations`, valid: organization, cases: organizationCases },
  { kind: 'UserKeyPolicy', collection: `${inDefault}/userkeypolicies`, valid: policy, cases: policyCases },
  { kind: 'UserKey', collection: `${inDefault}/userkeys`, valid: userKey, cases: userKeyCases },
  { kind: 'UserKeyRequest', collection: `${inDefault}/userkeyrequests`, valid: sealed, cases: requestCases },
];

let plane: ControlPlane;
let api: RawApi;

beforeAll(async () => {
  plane = await startControlPlane();
  await plane.installCrds();
  api = new RawApi(plane.source);
});

afterAll(async () => {
  await plane[Symbol.asyncDispose]();
});

describe.each(kinds)('$kind, as the real API server judges it', ({ collection, valid, cases }) => {
  const create = (body: object): ReturnType<RawApi['call']> =>
    api.call({ method: 'POST', path: collection, body, dryRun: true });

  test('a valid one is taken', async () => {
    expect(await create(valid)).toMatchObject({ status: 201, message: '' });
  });

  test.each(cases)('$what: $refusedWith', async ({ path, value, refusedWith }) => {
    const answer = await create(changed(valid, path, value));
    if (refusedWith === undefined) expect(answer).toMatchObject({ status: 201, message: '' });
    else expect(answer).toMatchObject({ status: 422, message: expect.stringContaining(refusedWith) as string });
  });
});

describe('what never changes', () => {
  const merge = (path: string, body: object): ReturnType<RawApi['call']> => api.call({ method: 'PATCH', path, body });

  test('the server and the user of a UserKey, but their name for people may', async () => {
    const path = `${inDefault}/userkeys/${keyName}`;
    expect(await api.call({ method: 'POST', path: `${inDefault}/userkeys`, body: userKey })).toMatchObject({
      status: 201,
    });
    for (const field of ['issuer', 'id']) {
      const answer = await merge(path, { spec: { subject: { [field]: 'other' } } });
      expect(answer.message).toContain('a key belongs to one user for ever');
    }
    const moved = await merge(path, { spec: { serverRef: { name: 'gitlab' } } });
    expect(moved.message).toContain('a key belongs to one server for ever');
    expect(await merge(path, { spec: { subject: { name: 'ann.new@example.com' } } })).toMatchObject({ status: 200 });
  });

  test('the version of a UserKey never goes down', async () => {
    const path = `${inDefault}/userkeys/${keyName}/status`;
    const version = Date.parse('2126-01-01T00:00:00Z');
    expect(await merge(path, { status: { version, state: 'Configured' } })).toMatchObject({
      status: 200,
      body: { status: { version } },
    });
    const answer = await merge(path, { status: { version: version - 1 } });
    expect(answer).toMatchObject({ status: 422, message: expect.stringContaining('never goes down') as string });
    const beyond = await merge(path, { status: { version: Number.MAX_SAFE_INTEGER + 1 } });
    expect(beyond).toMatchObject({
      status: 422,
      message: expect.stringContaining('less than or equal to 9007199254740991') as string,
    });
  });

  test('a UserKeyRequest', async () => {
    const created = await api.call({ method: 'POST', path: `${inDefault}/userkeyrequests`, body: sealed });
    const { name } = created.body['metadata'] as { name: string };
    const answer = await merge(`${inDefault}/userkeyrequests/${name}`, { spec: { requester: { username: 'bob' } } });
    expect(answer).toMatchObject({
      status: 422,
      message: expect.stringContaining('a request never changes') as string,
    });
  });
});

describe('what people see', () => {
  test('kubectl get uk -A shows user, server, state, expiry and last use, and filters by server', async () => {
    const columns = await plane.kubectl(['get', 'uk', '-A']);
    expect(
      columns
        .split('\n')[0]
        ?.split(/\s{2,}/u)
        .map((name) => name.trim()),
    ).toEqual(['NAMESPACE', 'NAME', 'USER', 'SERVER', 'STATE', 'AGE', 'EXPIRES', 'LAST-USED']);
    expect(
      await plane.kubectl(['get', 'uk', '-A', '--field-selector=spec.serverRef.name=github', '-o', 'name']),
    ).toContain(keyName);
    expect(await plane.kubectl(['get', 'uk', '-A', '--field-selector=spec.serverRef.name=gitlab', '-o', 'name'])).toBe(
      '',
    );
  });

  test.each([['mcps'], ['ukp'], ['uk'], ['ukr'], ['org'], ['mcp']])('the short name %s', async (name) => {
    await expect(plane.kubectl(['get', name, '-A'])).resolves.toBeDefined();
  });
});
