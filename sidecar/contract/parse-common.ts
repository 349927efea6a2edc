import { readObject, readText } from './fields.ts';
import type { ServerRef, Subject } from './lease.ts';

const dnsLabel = /^[a-z0-9](?:[-a-z0-9]*[a-z0-9])?$/;
const dnsSubdomain = /^[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*$/;

/** @throws ContractError */
export function parseServerRef(value: unknown, path: string): ServerRef {
  const { namespace, name } = readObject(value, path);
  return {
    namespace: readText(namespace, `${path}.namespace`, {
      charsMax: 63,
      pattern: dnsLabel,
      expected: 'a namespace name',
    }),
    name: readText(name, `${path}.name`, { charsMax: 253, pattern: dnsSubdomain, expected: 'an object name' }),
  };
}

/** The opaque id of a user; it becomes part of an object's name. @throws ContractError */
export function parseSubjectKey(value: unknown, path: string): string {
  return readText(value, path, { charsMax: 128, pattern: /^[a-z0-9]+$/, expected: 'a subject key' });
}

/** @throws ContractError */
export function parseSubject(value: unknown, path: string): Subject {
  const { issuer, id, name } = readObject(value, path);
  return {
    issuer: readText(issuer, `${path}.issuer`, { charsMax: 2_048 }),
    id: readText(id, `${path}.id`, { charsMax: 1_024 }),
    name: readText(name, `${path}.name`, { charsMin: 0, charsMax: 1_024 }),
  };
}
