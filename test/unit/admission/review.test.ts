import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { admitPod } from '#operator/admission/admit.ts';
import { ReviewError, decodeReview, encodeReview } from '#operator/admission/review.ts';

import { testNamespace, testWorld, weatherPod } from './pods.ts';

const runs = { numRuns: process.env['SLOW'] === undefined ? 500 : 20_000 };

function bytes(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}

function review(changes: object = {}): object {
  return {
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    request: {
      uid: '705ab4f5-6393-11e8-b7cc-42010a800002',
      kind: { group: '', version: 'v1', kind: 'Pod' },
      resource: { group: '', version: 'v1', resource: 'pods' },
      operation: 'CREATE',
      namespace: testNamespace,
      object: weatherPod(),
      ...changes,
    },
  };
}

describe('decodeReview', () => {
  test('reads what the API server sends', () => {
    expect(decodeReview(bytes(review()))).toEqual({
      uid: '705ab4f5-6393-11e8-b7cc-42010a800002',
      resource: '/pods',
      operation: 'CREATE',
      namespace: testNamespace,
      object: weatherPod(),
    });
  });

  test('tells a subresource from its resource', () => {
    expect(decodeReview(bytes(review({ subResource: 'ephemeralcontainers' }))).resource).toBe(
      '/pods/ephemeralcontainers',
    );
  });

  test.each([
    ['nothing', Buffer.alloc(0)],
    ['no JSON', Buffer.from('<xml/>')],
    ['no UTF-8', Buffer.from([0x22, 0xff, 0x22])],
    ['a list', bytes([])],
    ['null', bytes(null)],
    ['another version', bytes({ ...review(), apiVersion: 'admission.k8s.io/v1beta1' })],
    ['another kind', bytes({ ...review(), kind: 'List' })],
    ['no request', bytes({ apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview' })],
    ['no UID', bytes(review({ uid: undefined }))],
    ['a UID that is not one', bytes(review({ uid: '"><script>' }))],
    ['a UID without end', bytes(review({ uid: 'a'.repeat(129) }))],
    ['a number for an operation', bytes(review({ operation: 1 }))],
    ['no resource', bytes(review({ resource: null }))],
  ])('refuses %s', (_what, body) => {
    expect(() => decodeReview(body)).toThrow(ReviewError);
  });

  test('answers or refuses any JSON at all, and its error repeats nothing of it', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (value, request) => {
        for (const body of [value, { ...review(), request }, review({ resource: value }), review({ object: value })]) {
          try {
            const decoded = decodeReview(bytes(body));
            encodeReview(decoded.uid, admitPod(decoded, testWorld()).answer);
          } catch (error) {
            expect(error).toBeInstanceOf(ReviewError);
            expect((error as ReviewError).message).toMatch(
              /^(the body|apiVersion|kind|review|request)[a-zA-Z. ]*( is .{1,40})?$/,
            );
          }
        }
      }),
      runs,
    );
  });

  test('takes any bytes without another error than its own', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (body) => {
        expect(() => decodeReview(Buffer.from(body))).toThrow(ReviewError);
      }),
      runs,
    );
  });

  test('survives nesting that would exhaust a recursive reader', () => {
    const depth = 200_000;
    const body = Buffer.from(`${'['.repeat(depth)}${']'.repeat(depth)}`);
    expect(() => decodeReview(body)).toThrow(ReviewError);
  });
});

describe('encodeReview', () => {
  test('carries a patch in base64', () => {
    const operations = [{ op: 'add', path: '/spec/volumes', value: [] }] as const;
    const body = JSON.parse(encodeReview('u', { allowed: true, operations, warnings: [] })) as Record<string, never>;
    expect(body).toMatchObject({
      apiVersion: 'admission.k8s.io/v1',
      kind: 'AdmissionReview',
      response: { uid: 'u', allowed: true, patchType: 'JSONPatch' },
    });
    expect(JSON.parse(Buffer.from(body['response']!['patch'] as string, 'base64').toString())).toEqual(operations);
  });

  test('leaves out what is empty', () => {
    expect(JSON.parse(encodeReview('u', { allowed: true, operations: [], warnings: [] }))).toEqual({
      apiVersion: 'admission.k8s.io/v1',
      kind: 'AdmissionReview',
      response: { uid: 'u', allowed: true },
    });
  });

  test('tells why not', () => {
    const answer = { allowed: false, httpCode: 403, message: 'no' } as const;
    expect(JSON.parse(encodeReview('u', answer))).toMatchObject({
      response: { uid: 'u', allowed: false, status: { code: 403, message: 'no' } },
    });
  });
});

describe('admitPod', () => {
  test.each([
    ['/pods', 'UPDATE', 'unsupportedOperation'],
    ['/pods/ephemeralcontainers', 'CREATE', 'unsupportedResource'],
    ['apps/deployments', 'CREATE', 'unsupportedResource'],
  ])('lets %s %s pass as it is', (resource, operation, reason) => {
    const request = { uid: '1', resource, operation, namespace: testNamespace, object: weatherPod() };
    expect(admitPod(request, testWorld()).outcome).toEqual({ result: 'skipped', reason });
  });

  test('looks for the server in the namespace of the request only', () => {
    const request = { uid: '1', resource: '/pods', operation: 'CREATE', namespace: 'team-b', object: weatherPod() };
    expect(admitPod(request, testWorld()).outcome).toEqual({ result: 'refused', reason: 'serverNotFound' });
  });
});
