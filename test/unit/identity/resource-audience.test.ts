import { expect, test } from 'vitest';

import type { TrustedIssuer } from '#operator/identity/identification.ts';
import { withResource } from '#operator/identity/resource-audience.ts';

const oidc: TrustedIssuer = {
  type: 'OIDC',
  name: 'login',
  issuerURL: 'https://login.example',
  audiences: ['mcp'],
  claims: { subject: 'sub', groups: 'groups', name: 'email' },
};
const kubernetes: TrustedIssuer = { type: 'Kubernetes', name: 'cluster', audiences: ['mcp-keyring'] };
const resource = 'https://mcp.example.com/team-a/notes/mcp';

test('a token for the URL of the server is good there, of an identity provider and not of the cluster', () => {
  expect(withResource([oidc, kubernetes], resource)).toEqual([{ ...oidc, audiences: ['mcp', resource] }, kubernetes]);
});

test('without a URL only the named audiences count', () => {
  expect(withResource([oidc], undefined)).toEqual([oidc]);
});
