import { describe, expect, test } from 'vitest';

import type { ConfigMap } from '#operator/kube/resources.ts';
import { InformerTenancy } from '#operator/tenancy/informer-tenancy.ts';

import { namespace, oidcIssuer, organization } from '../controllers/fixtures.ts';
import { FakeInformer } from '../controllers/stores.ts';

const pem = '-----BEGIN CERTIFICATE-----\n…\n-----END CERTIFICATE-----\n';

function tenancy(organizations = [organization()], configMaps: readonly ConfigMap[] = []): InformerTenancy {
  return new InformerTenancy({
    organizations: new FakeInformer(organizations).store,
    namespaces: new FakeInformer([
      namespace('team-a', { org: 'acme' }),
      namespace('lost'),
      namespace('kube-system', { org: 'acme' }),
    ]).store,
    configMaps: new FakeInformer(configMaps).store,
    operatorNamespace: 'mcp-keyring',
    excludedNamespaces: new Set(['kube-system']),
    clusterIssuerURL: 'https://kubernetes.default.svc',
  });
}

function caConfigMap(namespaceName: string, data: Record<string, string>): ConfigMap {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'idp-ca', namespace: namespaceName }, data };
}

describe('tenancy', () => {
  test('gives the organization that selects the namespace, with its issuers', () => {
    expect(tenancy().organizationOf('team-a')).toEqual({
      kind: 'organization',
      name: 'acme',
      issuers: [
        {
          type: 'OIDC',
          name: 'login',
          issuerURL: 'https://login.example.com',
          audiences: ['mcp'],
          scopes: ['openid'],
          claims: { subject: 'sub', groups: 'groups', name: 'email' },
        },
      ],
    });
  });

  test('knows no organization of a namespace that nobody selects, or that does not exist', () => {
    expect(tenancy().organizationOf('lost')).toEqual({ kind: 'none' });
    expect(tenancy().organizationOf('never-seen')).toEqual({ kind: 'none' });
  });

  test('serves nobody where admission does not look, whatever is selected', () => {
    expect(tenancy().organizationOf('kube-system')).toEqual({ kind: 'none', excluded: true });
    const everything = organization({ spec: { namespaceSelector: {} } });
    expect(tenancy([everything]).organizationOf('kube-system')).toEqual({ kind: 'none', excluded: true });
  });

  test.each(['https://kubernetes.default.svc', 'https://kubernetes.default.svc/'])(
    'does not trust this cluster as an OIDC issuer: %s',
    (issuerURL) => {
      const issuers = [oidcIssuer({ issuerURL }), oidcIssuer({ name: 'good' })];
      const found = tenancy([organization({ spec: { identity: { issuers } } })]).organizationOf('team-a');
      expect(found).toMatchObject({ issuers: [{ name: 'good' }] });
    },
  );

  test('reports a conflict when two organizations select a namespace', () => {
    const rival = organization({ name: 'rival', spec: { namespaceSelector: { matchLabels: { org: 'acme' } } } });
    expect(tenancy([rival, organization()]).organizationOf('team-a')).toEqual({
      kind: 'conflict',
      organizations: ['acme', 'rival'],
    });
  });

  test('fills in the CA bundle of an issuer', () => {
    const issuers = [oidcIssuer({ caBundleRef: { name: 'idp-ca', key: 'ca.crt' } })];
    const found = tenancy(
      [organization({ spec: { identity: { issuers } } })],
      [caConfigMap('mcp-keyring', { 'ca.crt': pem })],
    ).organizationOf('team-a');
    expect(found).toMatchObject({ issuers: [{ caBundle: pem }] });
  });

  test.each<[string, readonly ConfigMap[]]>([
    ['is missing', []],
    ['lacks the key', [caConfigMap('mcp-keyring', { other: pem })]],
    ['is empty', [caConfigMap('mcp-keyring', { 'ca.crt': ' \n' })]],
    ['is in another namespace', [caConfigMap('team-a', { 'ca.crt': pem })]],
  ])('does not trust an issuer whose CA bundle %s, rather than trusting public roots', (_name, configMaps) => {
    const issuers = [oidcIssuer({ caBundleRef: { name: 'idp-ca', key: 'ca.crt' } })];
    const found = tenancy([organization({ spec: { identity: { issuers } } })], configMaps).organizationOf('team-a');
    expect(found).toMatchObject({ kind: 'organization', issuers: [] });
  });

  test('gives an issuer the scopes that clients ask it for', () => {
    const issuers = [oidcIssuer({ scopes: ['openid', 'email'] }), oidcIssuer({ name: 'plain' })];
    const found = tenancy([organization({ spec: { identity: { issuers } } })]).organizationOf('team-a');
    expect(found).toMatchObject({ issuers: [{ scopes: ['openid', 'email'] }, { scopes: ['openid'] }] });
  });

  test('gives an issuer of type Kubernetes its audiences', () => {
    const issuers = [oidcIssuer({ name: 'cluster', type: 'Kubernetes', audiences: ['keyring'] })];
    const found = tenancy([organization({ spec: { identity: { issuers } } })]).organizationOf('team-a');
    expect(found).toMatchObject({ issuers: [{ type: 'Kubernetes', name: 'cluster', audiences: ['keyring'] }] });
  });
});
