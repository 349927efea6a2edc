import { createHash, createSecretKey } from 'node:crypto';
import { readSync, writeSync } from 'node:fs';

import { generateHpkeKeyPair } from '#cli/contract/hpke.ts';
import { checkKeyValue } from '#cli/contract/key-value.ts';
import { intakeSuite, openUserKeyRequest, sealUserKeyRequest } from '#cli/contract/user-key-request.ts';
import { LocalKekWrapper, localKek } from '#operator/envelope/local-kek.ts';
import { openEnvelope } from '#operator/envelope/open.ts';
import { decodePayload, encodePayload } from '#operator/envelope/payload.ts';
import { systemRandomness } from '#operator/envelope/randomness.ts';
import { rewrapHeader } from '#operator/envelope/rewrap.ts';
import { sealEnvelope } from '#operator/envelope/seal.ts';
import { SecretBytes } from '#operator/envelope/secret-bytes.ts';
import { parseRawSecret, writeRawSecret } from '#operator/keystore/secret-json.ts';
import { probeByHttp } from '#operator/validation/http-probe.ts';
import { ProbeCredentials } from '#operator/validation/probe-credential.ts';

/**
 * Handles secrets that its parent writes to its standard input, then waits for the parent to look for them in this process's
 * memory. `readSync` into owned bytes, because a stream would keep its own. Arguments: what to do, then the length of each secret.
 */
const [mode = '', ...lengths] = process.argv.slice(2);
const kept: unknown[] = [];
const context = {
  cluster: 'c',
  org: 'o',
  ns: 'n',
  name: 'x',
  iss: 'i',
  sub: 's',
  server: 'u',
  slot: 'authorization',
  gen: 1,
};

function receive(length: number): SecretBytes {
  const bytes = SecretBytes.alloc(length);
  let at = 0;
  while (at < length) at += readSync(0, bytes.bytes, at, length - at, null);
  return bytes;
}

/** What the parent knows: the seed that the first envelope is made with. */
function seededBy(seed: SecretBytes): (target: Uint8Array) => void {
  let isUsed = false;
  return (target) => {
    if (isUsed) return systemRandomness(target);
    isUsed = true;
    target.set(seed.bytes);
  };
}

/** Seal, rewrap, open, use; and open what was altered. Says the salt, so that the parent can derive the same keys. */
async function sealAndOpen([value, kek, seed]: readonly SecretBytes[]): Promise<object> {
  if (value === undefined || kek === undefined || seed === undefined) throw new Error('three secrets');
  const keks = new Map([['local-00000001', localKek(kek)]]);
  const wrapper = new LocalKekWrapper(() => ({ currentKid: 'local-00000001', keks }), systemRandomness);
  kept.push(wrapper);
  using payload = encodePayload([{ name: 'Authorization', value }]);
  const options = { wrappers: [wrapper], randomness: seededBy(seed), now: new Date() };
  const envelope = await sealEnvelope(payload, context, options);
  await sealEnvelope(payload, context, { ...options, randomness: systemRandomness });
  const header = await rewrapHeader(envelope.header, { from: [wrapper], to: [wrapper] });
  using opened = await openEnvelope({ ...envelope, header }, context, [wrapper]);
  for (const field of decodePayload(opened.payload)) {
    using owned = field.value;
    createHash('sha256').update(owned.bytes).digest();
  }
  const ciphertext = Buffer.from(envelope.ciphertext);
  ciphertext.subarray(-16).fill(0);
  await openEnvelope({ ...envelope, ciphertext }, context, [wrapper]).catch(() => {});
  const { salt } = JSON.parse(envelope.header.toString()) as { readonly salt: string };
  return { salt };
}

/** What CLI and operator do with a typed key between the two ends of a request. */
function sendAndReceive([value]: readonly SecretBytes[]): object {
  if (value === undefined) throw new Error('one secret');
  const operator = generateHpkeKeyPair();
  kept.push(operator);
  const recipient = { keyId: 'a', publicKey: operator.publicKey.toString('base64'), suite: intakeSuite };
  const place = { namespace: 'n', username: 'u' };
  const headers = [{ name: 'Authorization', value: value.bytes }];
  const sealed = sealUserKeyRequest(recipient, place, { control: { v: 1, operation: 'set', server: 's' }, headers });
  using received = openUserKeyRequest(operator, place, sealed);
  const [field] = received.order.kind === 'order' ? received.order.value.headers : [];
  const checked = checkKeyValue(field?.value ?? Buffer.alloc(0), { template: 'Bearer {value}' });
  if (checked.kind === 'invalid') throw new Error(checked.message);
  using owned = SecretBytes.alloc(checked.value.byteLength);
  owned.bytes.set(checked.value);
  kept.push(received.sealResponse({ v: 1, outcome: 'refused', code: 'TooLarge', message: 'a' }));
  return {};
}

/** The JSON of a Secret with a KEK, read and written again. */
function readAndWriteSecret([json]: readonly SecretBytes[]): object {
  if (json === undefined) throw new Error('one secret');
  using secret = parseRawSecret(json.bytes);
  using body = writeRawSecret(secret.object, new Map([...secret.data].map(([name, value]) => [name, value.bytes])));
  kept.push(secret.object, body.byteLength);
  return {};
}

/** Holds a value against rules, sends it to an upstream and seals it for a sidecar, as whoever tries a key does. */
async function tryAtUpstream([value, place]: readonly SecretBytes[]): Promise<object> {
  if (value === undefined || place === undefined) throw new Error('a secret and a place');
  const { url, ca } = JSON.parse(place.bytes.toString()) as { readonly url: string; readonly ca: string };
  const checked = checkKeyValue(value.bytes, { template: 'Bearer {value}', pattern: '(?i)[!-~]+', minLength: 8 });
  if (checked.kind === 'invalid') throw new Error(checked.message);
  const template = { before: Buffer.from('Bearer '), after: Buffer.alloc(0) };
  const http = { url, method: 'GET' } as const;
  const where = { kind: 'outside', ca, allowPrivateAddresses: true } as const;
  const network = { lookup: () => Promise.resolve(['127.0.0.1']), signal: AbortSignal.timeout(5_000) };
  const outcome = await probeByHttp({ place: where, http }, [{ name: 'Authorization', template, value }], network);
  const credentials = new ProbeCredentials({
    indexKey: createSecretKey(Buffer.alloc(32, 1)),
    randomness: systemRandomness,
    now: () => new Date(),
  });
  const server = { namespace: 'n', name: 's' };
  const subject = { issuer: 'i', id: 'u', name: 'u' };
  const claims = { organization: 'o', server, serverUid: 'x', subject, keyVersion: 1 };
  const credential = credentials.seal(claims, [{ name: 'Authorization', value }]) ?? '';
  using opened = credentials.open(credential);
  kept.push(credential, opened?.claims);
  return outcome;
}

const modes: Readonly<Record<string, (secrets: readonly SecretBytes[]) => object | Promise<object>>> = {
  sealAndOpen,
  sendAndReceive,
  readAndWriteSecret,
  tryAtUpstream,
  leakString: ([value]) => ({ kept: kept.push(value?.bytes.toString('latin1')) }),
  leakBuffer: ([value]) => ({ kept: kept.push(Buffer.from(value?.bytes ?? [])) }),
};

const secrets = lengths.map((length) => receive(Number(length)));
const said = await modes[mode]?.(secrets);
for (const secret of secrets) secret[Symbol.dispose]();
writeSync(1, `${JSON.stringify(said)}\n`);
// Blocks the only thread: nothing runs while the parent looks, and nothing is collected.
readSync(0, Buffer.alloc(1), 0, 1, null);
