import { X509Certificate } from 'node:crypto';

import { describe, expect, test } from 'vitest';

import { dnsNamesOf, isIssuedBy } from '#operator/certificates/certified-key.ts';
import { issueAuthority, issueLeaf } from '#operator/certificates/issue.ts';
import { defaultLifetimes as lifetimes } from '#operator/certificates/lifetimes.ts';
import { servingDnsNames } from '#operator/certificates/serving-names.ts';

const nowMs = Date.UTC(2026, 5, 1);
const dnsNames = servingDnsNames('mcp-keyring');

describe('a certificate authority', () => {
  test('may sign certificates of servers, and nothing further down', async () => {
    const certificate = new X509Certificate((await issueAuthority(nowMs, lifetimes)).pem);
    expect(certificate.ca).toBe(true);
    expect(certificate.toString()).not.toBe('');
    expect(certificate.publicKey.asymmetricKeyDetails).toEqual({ namedCurve: 'prime256v1' });
    expect(certificate.validFromDate.getTime()).toBe(nowMs - lifetimes.backdateMs);
    expect(certificate.validToDate.getTime()).toBe(nowMs + lifetimes.caLifeMs);
  });

  test('has a name and a serial number of its own', async () => {
    const [one, other] = [await issueAuthority(nowMs, lifetimes), await issueAuthority(nowMs, lifetimes)];
    const [first, second] = [new X509Certificate(one.pem), new X509Certificate(other.pem)];
    expect(first.subject).not.toBe(second.subject);
    expect(first.serialNumber).not.toBe(second.serialNumber);
    expect(first.serialNumber).toMatch(/^[4-7][0-9A-F]{31}$/);
  });
});

describe('a leaf', () => {
  test('is signed by its CA and by no other', async () => {
    const [authority, other] = [await issueAuthority(nowMs, lifetimes), await issueAuthority(nowMs, lifetimes)];
    const leaf = await issueLeaf({ authority, dnsNames, nowMs, lifetimes });
    expect(isIssuedBy(leaf, authority)).toBe(true);
    expect(isIssuedBy(leaf, other)).toBe(false);
  });

  test('is for servers under every name of both Services', async () => {
    const authority = await issueAuthority(nowMs, lifetimes);
    const leaf = await issueLeaf({ authority, dnsNames, nowMs, lifetimes });
    const certificate = new X509Certificate(leaf.pem);
    expect(certificate.ca).toBe(false);
    expect(certificate.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1']);
    expect(dnsNamesOf(leaf)).toEqual([
      'mcp-keyring-broker',
      'mcp-keyring-broker.mcp-keyring',
      'mcp-keyring-broker.mcp-keyring.svc',
      'mcp-keyring-broker.mcp-keyring.svc.cluster.local',
      'mcp-keyring-webhook',
      'mcp-keyring-webhook.mcp-keyring',
      'mcp-keyring-webhook.mcp-keyring.svc',
      'mcp-keyring-webhook.mcp-keyring.svc.cluster.local',
    ]);
    expect(leaf.notAfterMs).toBe(nowMs + lifetimes.leafLifeMs);
  });

  test('ends with its CA at the latest', async () => {
    const authority = await issueAuthority(nowMs, lifetimes);
    const leaf = await issueLeaf({ authority, dnsNames, nowMs: authority.notAfterMs - 1_000, lifetimes });
    expect(leaf.notAfterMs).toBe(authority.notAfterMs);
  });
});
