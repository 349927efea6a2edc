import { describe, expect, test } from 'vitest';

import { policySnapshot } from '#operator/broker/policy-snapshot.ts';
import { allowedSources } from '#operator/policy/request-bounds.ts';

import { server } from '../controllers/fixtures.ts';

const plain = server();
const { name, namespace } = plain.metadata;

describe('limits of a server', () => {
  test('are in its snapshot, in milliseconds and bytes', () => {
    const limits = { connectTimeout: '2s', answerTimeout: '5m', maxBodyBytes: 2_048 };
    const { bounds } = policySnapshot({ ...plain, spec: { ...plain.spec, limits } }, []);
    expect(bounds).toEqual({ connectMsMax: 2_000, answerMsMax: 300_000, bodyBytesMax: 2_048 });
  });

  test.each([undefined, {}])('are not there where it says %j', (limits) => {
    const spec = limits === undefined ? plain.spec : { ...plain.spec, limits };
    expect(policySnapshot({ ...plain, spec }, [])).not.toHaveProperty('bounds');
  });
});

describe('whom a server allows', () => {
  const allow = { hosts: ['mcp.example.com'], origins: ['https://app.example.com'] };
  const strict = { ...plain, spec: { ...plain.spec, allow } };
  const clusterDomain = 'cluster.example';

  test('is told to its sidecar with the names of its Service, as gateways use them', () => {
    const service = `${name}-mcp`;
    expect(allowedSources(strict, { role: 'server', clusterDomain })).toEqual({
      hosts: [
        'mcp.example.com',
        service,
        `${service}.${namespace}`,
        `${service}.${namespace}.svc`,
        `${service}.${namespace}.svc.cluster.example`,
      ],
      origins: ['https://app.example.com'],
    });
  });

  test('is told to gateways as it is written', () => {
    expect(allowedSources(strict, { role: 'gateway', clusterDomain })).toEqual(allow);
  });

  test('is nothing to agents, who use the names of loopback', () => {
    expect(allowedSources(strict, { role: 'agent', clusterDomain })).toBeUndefined();
  });

  test.each([
    [undefined, undefined],
    [{}, undefined],
    [{ origins: ['https://a.example'] }, { origins: ['https://a.example'] }],
  ])('is any host where it says %j', (said, told) => {
    const spec = said === undefined ? plain.spec : { ...plain.spec, allow: said };
    expect(allowedSources({ ...plain, spec }, { role: 'server', clusterDomain })).toEqual(told);
  });
});
