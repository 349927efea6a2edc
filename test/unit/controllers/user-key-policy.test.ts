import { describe, expect, test } from 'vitest';

import type { McpServer } from '#crds/v1alpha1/generated/mcp-server.ts';
import type { UserKeyPolicy, UserKeyPolicyProbe } from '#crds/v1alpha1/generated/user-key-policy.ts';
import { decidePolicy } from '#operator/controllers/user-key-policy/decide.ts';
import { type ObservedPolicy, observePolicy } from '#operator/controllers/user-key-policy/observe.ts';
import { ProbeProblems } from '#operator/validation/probe-problems.ts';
import { verifies } from '#test/requirements.ts';
import { memorySource } from '#test/support/memory-source.ts';

import { brief, header, messageOf, now, policy, server } from './fixtures.ts';

const github = server({ headers: [header('Authorization')] });
const gitlab = server({ metadata: { name: 'gitlab', uid: 'uid-gitlab' }, headers: [header('PRIVATE-TOKEN')] });

function observed(object: UserKeyPolicy, servers: readonly McpServer[]): ObservedPolicy {
  return { object, servers, policies: [object], probeProblems: [] };
}

describe('a UserKeyPolicy', () => {
  test.each<[string, Parameters<typeof policy>[0], string, number, RegExp]>([
    ['is bound to what it selects', {}, 'Ready=True/Bound', 2, /github, gitlab/],
    ['is bound to what it names', { servers: { names: ['github'] } }, 'Ready=True/Bound', 1, /github/],
    [
      'without servers says so',
      { servers: { selector: { matchLabels: { no: 'where' } } } },
      'Ready=False/NoServers',
      0,
      /spec\.servers/,
    ],
    [
      'names the servers that do not exist, and where it is in force all the same',
      { servers: { names: ['github', 'nowhere'] } },
      'Ready=False/ServersNotFound',
      1,
      /nowhere.*In force at github/,
    ],
    [
      'names headers that nobody declares',
      { keys: { required: ['X-Typo'] } },
      'Ready=False/HeadersNotDeclared',
      2,
      /X-Typo/,
    ],
    [
      'says that nobody knows its time zone',
      { limits: { timeZone: 'Mars/Olympus', requests: [{ per: 'Day', max: 5 }] } },
      'Ready=False/TimeZoneUnknown',
      2,
      /Mars\/Olympus.*midnight UTC/,
    ],
    [
      'is bound with limits in a time zone that is known',
      { limits: { timeZone: 'Europe/Berlin', requests: [{ per: 'Day', max: 5 }] } },
      'Ready=True/Bound',
      2,
      /./,
    ],
    [
      'is content when one of its servers declares the header, in any case',
      { keys: { optional: ['private-token'] } },
      'Ready=True/Bound',
      2,
      /./,
    ],
  ])('%s', (...[, change, conditions, servers, message]) => {
    const object = policy(change);
    const { steps, status } = decidePolicy(observed(object, [gitlab, github]), now);
    expect(brief(status)).toBe(conditions);
    expect(messageOf(status)).toMatch(message);
    expect(status).toMatchObject({ servers, observedGeneration: 1, conditions: [{ observedGeneration: 1 }] });
    expect(steps).toEqual([]);
  });

  test('that is going away is left alone', () => {
    const object = { ...policy(), metadata: { ...policy().metadata, deletionTimestamp: '2026-03-01T00:00:00Z' } };
    expect(decidePolicy(observed(object, [github]), now)).toEqual({ steps: [] });
  });
});

describe('a UserKeyPolicy with a probe', () => {
  const tool = { probe: { tool: { name: 'whoami' } } };

  test.each([
    ['a schedule', { schedule: '24h' }, 'Ready=False/ProbeMissing'],
    ['enforcement', { onSave: 'Enforce' as const }, 'Ready=False/ProbeMissing'],
    ['a number of failures', { invalidAfterFailures: 3 }, 'Ready=True/Bound'],
    ['onSave Off', { onSave: 'Off' as const }, 'Ready=True/Bound'],
    ['a schedule and a probe', { schedule: '24h', ...tool }, 'Ready=True/Bound'],
  ])('and %s', (_what, validation, conditions) => {
    expect(brief(decidePolicy(observed(policy({ validation }), [github]), now).status)).toBe(conditions);
  });

  test('takes the probe of another policy for the same server', () => {
    const other = { ...policy({ validation: tool }), metadata: { ...policy().metadata, name: 'other' } };
    const object = policy({ validation: { onSave: 'Enforce' } });
    const status = decidePolicy({ ...observed(object, [github]), policies: [object, other] }, now).status;
    expect(brief(status)).toBe('Ready=True/Bound');
  });

  test(verifies('validation:unusable-probe'), () => {
    const http = (url: string) => policy({ validation: { probe: { http: { url, method: 'GET' as const } } } });
    const sse = { ...github, spec: { ...github.spec, transport: 'SSE' as const } };
    const cases = [
      {
        object: http('https://evil.example/'),
        servers: [github],
        says: /lets none go; add the origin to authentication.probeOrigins/u,
      },
      {
        object: policy({
          validation: { probe: { tool: { name: 'a', expect: { path: '$', matches: '(?:.{900}){9}' } } } },
        }),
        servers: [github],
        says: /too large to be used; write a shorter expect.matches/u,
      },
      {
        object: policy({ validation: tool }),
        servers: [sse],
        says: /transport of 2024-11-05.*use validation.probe.http/u,
      },
    ];
    const upstreams = memorySource();
    for (const { object, servers, says } of cases) {
      const from = {
        sources: {
          userKeyPolicies: memorySource([object]),
          mcpServers: memorySource(servers),
          caBundles: upstreams,
        },
        problems: new ProbeProblems(() => undefined),
        clusterDomain: 'cluster.local',
      };
      const seen = observePolicy(from as never, { namespace: 'team-a', name: object.metadata.name });
      const { status } = decidePolicy(seen!, now);
      expect(brief(status)).toBe('Ready=False/ProbeCannotRun');
      expect(messageOf(status)).toMatch(says);
    }
  });

  test('says what was found out when a key was tried, until that is over', () => {
    const changed: unknown[] = [];
    const problems = new ProbeProblems((key) => changed.push(key));
    const probe = { policy: 'strict', ...tool };
    const key = { namespace: 'team-a', name: 'strict' };
    const known = (at = github, asked: UserKeyPolicyProbe = tool.probe) => problems.of(key, asked, [at]);
    problems.take(github, { finding: { reason: 'TimedOut' }, probe });
    expect(known()).toEqual([]);
    problems.take(github, { finding: { reason: 'ToolNotListed' }, probe });
    problems.take(github, { finding: { reason: 'UpstreamError' }, probe });
    expect(known()).toEqual([{ server: 'github', reason: 'ToolNotListed' }]);
    expect(known(github, { tool: { name: 'another' } })).toEqual([]);
    expect(known({ ...github, metadata: { ...github.metadata, generation: 99 } })).toEqual([]);
    const object = policy({ validation: tool });
    const { status } = decidePolicy({ ...observed(object, [github]), probeProblems: known() }, now);
    expect(messageOf(status)).toMatch(
      /^github does not list the tool of the probe.*; correct validation.probe.tool.name/u,
    );
    problems.take(github, { finding: { verdict: 'Rejected', reason: 'KeyRefused' }, probe });
    expect(known()).toEqual([]);
    expect(changed).toEqual([key, key]);
  });
});
