import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { reservedHeaderNames, reservedHeaderPrefixes } from '#contract/headers.ts';
import { sidecarPorts } from '#crds/v1alpha1/names.ts';
import { RawApi } from '#test/integration/charts/raw-api.ts';
import { type ControlPlane, startControlPlane } from '#test/support/control-plane.ts';
import { type Case, changed } from './cases.ts';

const collection = '/apis/mcpkeyring.io/v1alpha1/namespaces/default/mcpservers';

const valid = {
  apiVersion: 'mcpkeyring.io/v1alpha1',
  kind: 'McpServer',
  metadata: { name: 'github', namespace: 'default' },
  spec: {
    title: 'GitHub',
    upstream: { workload: { port: 8080 } },
    authentication: { headers: [{ name: 'Authorization', template: 'Bearer {value}' }] },
  },
};

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

const create = (body: object): ReturnType<RawApi['call']> =>
  api.call({ method: 'POST', path: collection, body, dryRun: true });

const headersPath = 'spec.authentication.headers';
const header = (fields: object): Pick<Case, 'path' | 'value'> => ({
  path: headersPath,
  value: [{ name: 'X-API-Key', ...fields }],
});

const cases: readonly Case[] = [
  { what: 'a name of 46 characters', path: 'metadata.name', value: 'a'.repeat(46) },
  { what: 'a name of 47 characters', path: 'metadata.name', value: 'a'.repeat(47), refusedWith: 'longer than 46' },
  { what: 'a name that begins with a digit', path: 'metadata.name', value: '1a', refusedWith: 'begin with a letter' },
  { what: 'a name with a dot', path: 'metadata.name', value: 'a.b', refusedWith: "lower-case letters, digits and '-'" },
  { what: 'no upstream', path: 'spec.upstream', value: {}, refusedWith: 'exactly one of workload, managed and remote' },
  {
    what: 'two upstreams',
    path: 'spec.upstream.remote',
    value: { url: 'https://mcp.example.com' },
    refusedWith: 'exactly one of workload, managed and remote',
  },
  {
    what: 'a managed upstream',
    path: 'spec.upstream',
    value: { managed: { image: 'registry.example.com/a/b@sha256:00', port: 80, env: [{ name: 'A_B' }] } },
  },
  {
    what: 'an image with a blank',
    path: 'spec.upstream',
    value: { managed: { image: 'a b', port: 80 } },
    refusedWith: 'write an image reference',
  },
  {
    what: 'an environment name with a dash',
    path: 'spec.upstream',
    value: { managed: { image: 'a', port: 80, env: [{ name: 'A-B', value: '' }] } },
    refusedWith: "letters, digits and '_'",
  },
  {
    what: 'more than 100 replicas',
    path: 'spec.upstream',
    value: { managed: { image: 'a', port: 80, replicas: 101 } },
    refusedWith: 'less than or equal to 100',
  },
  ...Object.values(sidecarPorts).map((port) => ({
    what: `port ${port} of the sidecar`,
    path: 'spec.upstream.workload.port',
    value: port,
    refusedWith: 'belong to the sidecar',
  })),
  {
    what: 'all limits at their ends',
    path: 'spec.limits',
    value: { connectTimeout: '10s', answerTimeout: '24h', maxBodyBytes: 16_777_216 },
  },
  { what: 'a wait of 0', path: 'spec.limits.connectTimeout', value: '0s', refusedWith: 'should match' },
  { what: 'a connection after 11 s', path: 'spec.limits.connectTimeout', value: '11s', refusedWith: '10s or less' },
  { what: 'an answer after a day', path: 'spec.limits.answerTimeout', value: '25h', refusedWith: '24h or less' },
  {
    what: 'a body over 16 MiB',
    path: 'spec.limits.maxBodyBytes',
    value: 16_777_217,
    refusedWith: 'less than or equal to 16777216',
  },
  { what: 'hosts', path: 'spec.allow.hosts', value: ['mcp.example.com', 'localhost', '[::1]', '127.0.0.1'] },
  { what: 'no host at all', path: 'spec.allow.hosts', value: [], refusedWith: 'at least 1 items' },
  ...['MCP.example.com', 'mcp.example.com:443', 'https://mcp.example.com', '*.example.com', ''].map((host) => ({
    what: `the host ${JSON.stringify(host)}`,
    path: 'spec.allow.hosts',
    value: [host],
    refusedWith: host === '' ? 'at least 1 chars' : 'host name in lower case',
  })),
  { what: 'origins', path: 'spec.allow.origins', value: ['https://app.example.com', 'http://localhost:6274'] },
  ...['null', '*', 'https://app.example.com/', 'https://App.example.com', 'file://x'].map((origin) => ({
    what: `the origin ${origin}`,
    path: 'spec.allow.origins',
    value: [origin],
    refusedWith: 'as browsers send them',
  })),
  {
    what: 'an origin that no browser sends',
    path: 'spec.allow.origins',
    value: ['https://app.example.com:443'],
    refusedWith: 'leave the default port out',
  },
  { what: 'port 0', path: 'spec.upstream.workload.port', value: 0, refusedWith: 'greater than or equal to 1' },
  { what: 'another path', path: 'spec.upstream.workload.path', value: '/v1/mcp-2' },
  { what: 'a relative path', path: 'spec.upstream.workload.path', value: 'mcp', refusedWith: 'absolute path' },
  { what: 'a path with query', path: 'spec.upstream.workload.path', value: '/a?b', refusedWith: 'without query' },
  { what: 'a path with a quote', path: 'spec.upstream.workload.path', value: "/a'b", refusedWith: 'absolute path' },
  {
    what: 'a remote URL without TLS',
    path: 'spec.upstream',
    value: { remote: { url: 'http://mcp.example.com' } },
    refusedWith: 'write an https URL',
  },
  { what: 'a remote URL', path: 'spec.upstream', value: { remote: { url: 'https://mcp.example.com/mcp' } } },
  {
    what: 'a remote URL with query and private addresses',
    path: 'spec.upstream',
    value: { remote: { url: 'https://mcp.example.com/@team/mcp?tenant=7', allowPrivateAddresses: true } },
  },
  ...['https://user:secret@mcp.example.com/mcp', 'https://mcp.example.com/mcp#part'].map((url) => ({
    what: `the remote URL ${url}`,
    path: 'spec.upstream',
    value: { remote: { url } },
    refusedWith: 'without user and password',
  })),
  { what: 'an unknown transport', path: 'spec.transport', value: 'Stdio', refusedWith: 'supported values' },
  {
    what: 'a shared key without a Secret',
    path: 'spec.authentication.mode',
    value: 'Shared',
    refusedWith: 'need sharedKeySecretRef',
  },
  { what: 'no headers', path: headersPath, value: [] },
  { what: 'no authentication', path: 'spec.authentication', value: undefined },
  { what: 'a title of 81 characters', path: 'spec.title', value: 'a'.repeat(81), refusedWith: 'Too long' },
  { what: 'several headers', path: headersPath, value: [{ name: 'Authorization' }, { name: 'X-User-ID' }] },
  {
    what: 'one header twice, in other case',
    path: headersPath,
    value: [{ name: 'X-API-Key' }, { name: 'x-api-key' }],
    refusedWith: 'two of these are the same header',
  },
  {
    what: 'one header twice, to servers that read - as _',
    path: headersPath,
    value: [{ name: 'X-API-Key' }, { name: 'X_Api_Key' }],
    refusedWith: 'two of these are the same header',
  },
  { what: 'a session id spelled for CGI', ...header({ name: 'Mcp_Session_Id' }), refusedWith: 'are reserved' },
  ...['\u001b[2J', 'a\nb', '\u009b31m', 'a\u202eb', '\u007f'].flatMap((text) => [
    { what: `the title ${JSON.stringify(text)}`, path: 'spec.title', value: text, refusedWith: 'remove control' },
    { what: `the help ${JSON.stringify(text)}`, ...header({ help: text }), refusedWith: 'remove control' },
    { what: `the header title ${JSON.stringify(text)}`, ...header({ title: text }), refusedWith: 'remove control' },
  ]),
  { what: 'a title in any language', path: 'spec.title', value: 'Notizen – für Ärzte 📝' },
  {
    what: '17 headers',
    path: headersPath,
    value: Array.from({ length: 17 }, (_, index) => ({ name: `X-${index}` })),
    refusedWith: 'must have at most 16 items',
  },
  {
    what: '16 headers of the longest names and templates',
    path: headersPath,
    value: Array.from({ length: 16 }, (_, index) => ({
      name: `X-${index}-`.padEnd(64, 'a'),
      template: '{value}'.padEnd(256, 'x'),
      helpURL: `https://example.com/${'a'.repeat(490)}`,
      format: { prefixes: Array.from({ length: 16 }, (__, number) => `p${number}`.padEnd(64, '_')) },
    })),
  },
  { what: 'every character of a token', ...header({ name: "A!#$%&'*+-.^_`|~9" }) },
  ...'()<>@,;:\\"/[]?={} \t\u00e9'.split('').map((character) => ({
    what: `the character ${JSON.stringify(character)} in a header name`,
    ...header({ name: `X${character}Y` }),
    refusedWith: 'token of RFC 9110',
  })),
  ...reservedHeaderNames.flatMap((name) =>
    [name, name.toUpperCase(), name.replaceAll('-', '_')].map((spelling) => ({
      what: `the reserved header ${spelling}`,
      ...header({ name: spelling }),
      refusedWith: /^(content|mcp|proxy|sec)-/.test(name) ? 'reserved' : 'belongs to HTTP or MCP itself',
    })),
  ),
  ...reservedHeaderPrefixes.map((prefix) => ({
    what: `the reserved prefix ${prefix}`,
    ...header({ name: `${prefix.toUpperCase()}A` }),
    refusedWith: 'are reserved',
  })),
  { what: 'a name that only resembles a reserved one', ...header({ name: 'X-Accept' }) },
  { what: 'a template with text around', ...header({ template: 'Token token={value};v=1' }) },
  { what: 'a template without {value}', ...header({ template: 'Bearer' }), refusedWith: '{value} exactly once' },
  { what: 'a template with two', ...header({ template: '{value}:{value}' }), refusedWith: '{value} exactly once' },
  { what: 'another placeholder', ...header({ template: '{value}{user}' }), refusedWith: 'only placeholder' },
  { what: 'a line break', ...header({ template: 'a {value}\r\nX-Evil: 1' }), refusedWith: 'only printable ASCII' },
  { what: 'a line break at the end', ...header({ template: '{value}\n' }), refusedWith: 'only printable ASCII' },
  { what: 'a NUL', ...header({ template: '\u0000{value}' }), refusedWith: 'only printable ASCII' },
  { what: 'an umlaut', ...header({ template: 'ü{value}' }), refusedWith: 'only printable ASCII' },
  { what: 'a blank at the end', ...header({ template: '{value} ' }), refusedWith: 'blanks at the ends' },
  { what: 'a script as help', ...header({ helpURL: 'javascript:alert(1)' }), refusedWith: 'http or https URL' },
  {
    what: 'a pattern with its example',
    ...header({ format: { pattern: 'a|ghp_[A-Za-z0-9]{4}', example: 'ghp_abcd' } }),
  },
  ...['(', 'a{2,1}', '[z-a]', '(?=a)', '(?<!a)b', '(a)\\1', '*a', 'a)|(b'].map((pattern) => ({
    what: `the pattern ${pattern}`,
    ...header({ format: { pattern } }),
    refusedWith: 'no RE2 expression',
  })),
  ...['ghp_abcde', 'xghp_abcd', 'ghp_abc'].map((example) => ({
    what: `the example ${example} of another form`,
    ...header({ format: { pattern: 'ghp_[a-z]{4}', example } }),
    refusedWith: 'does not match pattern as a whole',
  })),
  {
    what: 'an example with another prefix',
    ...header({ format: { prefixes: ['ghp_', 'gho_'], example: 'github_pat_1' } }),
    refusedWith: 'begins with none of prefixes',
  },
  {
    what: 'an example that is too short',
    ...header({ format: { minLength: 5, example: 'abcd' } }),
    refusedWith: 'shorter than minLength',
  },
  {
    what: 'an example that is too long',
    ...header({ format: { maxLength: 3, example: 'abcd' } }),
    refusedWith: 'longer than maxLength',
  },
  {
    what: 'lengths that no value has',
    ...header({ format: { minLength: 5, maxLength: 4 } }),
    refusedWith: 'no value fits',
  },
  {
    what: '16 headers with the longest rules',
    path: headersPath,
    value: Array.from({ length: 16 }, (_, index) => ({
      name: `X-${index}`,
      format: { pattern: '(a?){120}'.repeat(28), example: 'a'.repeat(256), prefixes: ['a'], minLength: 1 },
    })),
  },
  {
    what: 'origins of probes',
    path: 'spec.authentication.probeOrigins',
    value: [{ origin: 'https://api.github.com' }, { origin: 'https://10.0.0.1:8443', allowPrivateAddresses: true }],
  },
  ...['http://a.example', 'https://a.example/', 'https://a@b.example', 'a.example', 'https://*'].map((origin) => ({
    what: `the origin ${origin}`,
    path: 'spec.authentication.probeOrigins',
    value: [{ origin }],
    refusedWith: 'write scheme, host and port only',
  })),
  { what: 'a help page', ...header({ helpURL: 'https://github.com/settings/tokens?type=beta' }) },
];

describe('McpServer, as the real API server judges it', () => {
  test('a valid one is taken, and defaults are filled in', async () => {
    const answer = await create(valid);
    expect(answer).toMatchObject({ status: 201, message: '' });
    expect(answer.body['spec']).toMatchObject({
      transport: 'StreamableHTTP',
      upstream: { workload: { path: '/mcp' } },
      authentication: { mode: 'PerUser', headers: [{ required: true, reveal: 'None' }] },
    });
  });

  test('without authentication it needs no keys', async () => {
    const answer = await create(changed(valid, 'spec.authentication', undefined));
    expect(answer.body['spec']).toMatchObject({ authentication: { mode: 'PerUser', headers: [] } });
  });

  test.each(cases)('$what: $refusedWith', async ({ path, value, refusedWith }) => {
    const answer = await create(changed(valid, path, value));
    if (refusedWith === undefined) expect(answer).toMatchObject({ status: 201, message: '' });
    else expect(answer).toMatchObject({ status: 422, message: expect.stringContaining(refusedWith) as string });
  });
});
