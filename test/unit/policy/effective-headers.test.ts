import { describe, expect, test } from 'vitest';

import type { UserKeyPolicy } from '#crds/v1alpha1/generated/user-key-policy.ts';
import { bind } from '#operator/policy/bound-policies.ts';
import { effectiveHeaders } from '#operator/policy/effective-headers.ts';

import { header, policy, server } from '../controllers/fixtures.ts';

const declared = server({
  metadata: { labels: { tier: 'gold' } },
  headers: [header('Authorization'), header('X-Client-ID', { required: false, title: 'Client' })],
});

function headersOf(policies: readonly UserKeyPolicy[]) {
  return effectiveHeaders(bind(declared, policies, { kind: 'everyUser' }));
}

function requiredOf(policies: readonly UserKeyPolicy[]): Record<string, string> {
  return Object.fromEntries(
    headersOf(policies).map(({ name, required, decidedBy }) => [
      name,
      `${required ? 'required' : 'optional'} by ${decidedBy.kind === 'server' ? 'server' : decidedBy.policy}`,
    ]),
  );
}

describe('effective headers', () => {
  test('are as the server declares them without a policy', () => {
    expect(requiredOf([])).toEqual({ Authorization: 'required by server', 'X-Client-ID': 'optional by server' });
    expect(headersOf([])[1]).toEqual({
      name: 'X-Client-ID',
      template: '{value}',
      title: 'Client',
      required: false,
      decidedBy: { kind: 'server' },
    });
  });

  test('follow a policy in both directions', () => {
    const both = policy({ keys: { required: ['x-client-id'], optional: ['AUTHORIZATION'] } });
    expect(requiredOf([both])).toEqual({ Authorization: 'optional by strict', 'X-Client-ID': 'required by strict' });
  });

  test('take the strictest of several policies, whatever their order', () => {
    const lax = policy({ name: 'a-lax', keys: { optional: ['Authorization'] } });
    const strict = policy({ name: 'b-strict', keys: { required: ['Authorization'] } });
    for (const policies of [
      [lax, strict],
      [strict, lax],
    ]) {
      expect(requiredOf(policies)['Authorization']).toBe('required by b-strict');
    }
  });

  test('ignore policies of other namespaces, other servers and other labels', () => {
    const keys = { required: ['X-Client-ID'] };
    const foreign = [
      policy({ namespace: 'team-b', keys }),
      policy({ servers: { names: ['gitlab'] }, keys }),
      policy({ servers: { selector: { matchLabels: { tier: 'silver' } } }, keys }),
      policy({ servers: {}, keys }),
    ];
    expect(requiredOf(foreign)['X-Client-ID']).toBe('optional by server');
  });

  test('honour policies by name and by label', () => {
    const keys = { required: ['X-Client-ID'] };
    expect(requiredOf([policy({ servers: { names: ['github'] }, keys })])['X-Client-ID']).toBe('required by strict');
    const gold = policy({ servers: { selector: { matchLabels: { tier: 'gold' } } }, keys });
    expect(requiredOf([gold])['X-Client-ID']).toBe('required by strict');
  });

  test('never grow by what only a policy names', () => {
    expect(Object.keys(requiredOf([policy({ keys: { required: ['X-Other'] } })]))).toEqual([
      'Authorization',
      'X-Client-ID',
    ]);
  });
});
